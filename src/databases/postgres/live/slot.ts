import { StepError } from '../../../core/errors.ts';
import type { Connection } from '../connection.ts';

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

/** From now on the server keeps what is written for whoever asks for it under this name. Waits for open transactions. */
export async function createSlot(connection: Connection, name: string): Promise<void> {
  await connection.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [name], { long: true });
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
        if (!['55006', '42704'].includes((error as { code?: string }).code ?? '')) throw error;
      }
    } else {
      await connection.query('select pg_terminate_backend($1)', [slot.active]);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new StepError(`replication slot ${name} is in use and cannot be dropped`, {
    hint: `see who reads from it: select * from pg_replication_slots where slot_name = '${name}'`,
  });
}
