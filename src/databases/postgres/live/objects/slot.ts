import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, StepError } from '../../../../core/errors.ts';
import type { WorkControl } from '../../../../core/work.ts';
import { formatDuration } from '../../../../util/units.ts';
import type { Access } from '../../access.ts';
import { cancellable } from '../../cancellable.ts';
import type { Connection } from '../../connection.ts';
import { describeSession } from '../../door/fence.ts';
import { readBlockers } from '../../facts/facts.ts';

export interface Slot {
  readonly active: number | undefined;
  readonly lost: boolean;
}

export async function findSlot(connection: Connection, name: string): Promise<Slot | undefined> {
  const [row] = await connection.query<{ pid: number | null; lost: boolean }>(
    `select active_pid as pid, wal_status = 'lost' as lost from pg_replication_slots where slot_name = $1`,
    [name],
  );
  return row && { active: row.pid ?? undefined, lost: row.lost };
}

const LOOK_MS = 500;

/** A slot, and how long it may be waited for. */
export interface SlotOptions {
  readonly access: Access;
  readonly control: WorkControl;
  /** Milliseconds; without it, for as long as it takes. */
  readonly wait?: number | undefined;
}

/**
 * From now on the server keeps what is written for whoever asks for it under this name. Waits for every transaction that
 * has written something, in whatever database of the server, and says for whom.
 */
export async function createSlot(
  connection: Connection,
  name: string,
  { access, control, wait }: SlotOptions,
): Promise<void> {
  const over = new AbortController();
  const admin = await access.maintenance();
  const made = new AbortController();
  const watch = async (): Promise<void> => {
    for (const started = Date.now(); ; await sleep(LOOK_MS, undefined, { signal: made.signal })) {
      const { sessions, prepared } = await readBlockers(admin, connection.pid);
      const [first] = sessions;
      if (!first && !prepared) continue;
      const what = first
        ? `in ${first.database}: ${describeSession(first)}`
        : 'that is prepared: see pg_prepared_xacts';
      control.progress(0, 0, 'sessions', `waiting for a transaction that writes, ${what}`);
      if (wait === undefined || Date.now() - started < wait) continue;
      over.abort(
        new StepError(
          `a transaction that writes was still open after ${formatDuration(wait)}, and changes can be kept only from its end on`,
          { detail: `  ${what}`, hint: 'wait for it or end it, and run again' },
        ),
      );
    }
  };
  // It only tells; what went wrong with the server shows at the slot itself.
  const watching = watch().catch(() => undefined);
  try {
    // Those who write count as locks.
    await connection.query('set lock_timeout = 0');
    await cancellable(connection, access.address, AbortSignal.any([control.signal, over.signal]), () =>
      connection.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [name], { long: true }),
    );
  } finally {
    made.abort();
    await watching;
    if (!connection.lost) await connection.query(`set lock_timeout = ${access.address.limits.lock}`);
  }
}

/** Repeatable. Whoever reads from it is ended first. */
export async function dropSlot(connection: Connection, name: string): Promise<boolean> {
  for (let tries = 0; tries < 100; tries += 1) {
    const slot = await findSlot(connection, name);
    if (!slot) return false;
    if (slot.active === undefined) {
      try {
        await connection.query('select pg_drop_replication_slot($1)', [name]);
        return true;
      } catch (error) {
        // 55006: somebody reads from it once more; 42704: it has gone.
        if (!['55006', '42704'].includes(codeOf(error) ?? '')) throw error;
      }
    } else {
      await connection.query('select pg_terminate_backend($1)', [slot.active]);
    }
    await sleep(50);
  }
  throw new StepError(`replication slot ${name} is in use and cannot be dropped`, {
    hint: `see who reads from it: select * from pg_replication_slots where slot_name = '${name}'`,
  });
}
