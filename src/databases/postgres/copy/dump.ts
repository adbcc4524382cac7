import { Client, type ClientConfig } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import type { ClonePlan } from '../../../core/database/clone.ts';
import type { WorkControl } from '../../../core/work.ts';
import { messageOf, StepError } from '../../../core/errors.ts';
import { pipe } from '../../../util/exec.ts';
import { endClient } from '../../../util/pg-client.ts';
import { redact } from '../../../util/redact.ts';
import { CHILD_VARIABLE } from '../../../util/stray.ts';
import { withDatabase } from '../../../util/url.ts';
import type { Address } from '../address.ts';
import { OWN_SCHEMA } from '../live/objects/names.ts';
import type { Sides } from '../sides.ts';
import { makeCopy } from './copy.ts';
import { findTool, toolEnvironment, withoutPassword } from './tools.ts';

interface Dump {
  readonly sides: Sides;
  readonly run: string;
  readonly plan: ClonePlan;
  /** Made here, at the very point of the dump. */
  readonly slot: string;
  readonly control: WorkControl;
  /** Folder of pg_dump and pg_restore; otherwise they are looked for on PATH. */
  readonly tools: string | undefined;
}

/** Copies blue through pg_dump and pg_restore from the snapshot of a new replication slot; nobody is held. */
export async function copyByDump({ sides, run, plan, slot, control, tools }: Dump): Promise<number> {
  const [blue, green] = [sides.server('blue').address, sides.server('green').address];
  const source = await sides.found('blue');
  const point = await openPoint(blue, source.name, slot, control);
  try {
    const oid = await makeCopy(
      { on: await sides.admin('green'), address: green, blue: await sides.admin('blue') },
      plan,
      run,
      control,
    );
    const bytes = await sides.bytes('blue');
    const { code, failed, output } = await pipe(
      {
        file: await findTool('pg_dump', tools),
        args: [
          '-Fc',
          '-Z0',
          `--snapshot=${point.snapshot}`,
          '--no-publications',
          '--no-subscriptions',
          `--exclude-schema=${OWN_SCHEMA}`,
          `--dbname=${withoutPassword(blue, source.name)}`,
        ],
        env: { ...toolEnvironment(blue), [CHILD_VARIABLE]: run },
      },
      {
        file: await findTool('pg_restore', tools),
        args: ['--exit-on-error', `--dbname=${withoutPassword(green, plan.name)}`],
        env: { ...toolEnvironment(green), [CHILD_VARIABLE]: run },
      },
      {
        signal: control.signal,
        onBytes: (done) => control.progress(Math.min(done, bytes), bytes, 'bytes', 'pg_dump | pg_restore'),
      },
    );
    control.signal.throwIfAborted();
    if (code !== 0) {
      throw new StepError(`${failed} failed`, {
        detail: redact(output.trimEnd().split('\n').slice(-15).join('\n')),
        hint: "see what it says; a role or an extension that green's server lacks must be made there first",
      });
    }
    return oid;
  } finally {
    await point.end();
  }
}

/** A slot and the snapshot of the point from which it keeps changes; the snapshot lives as long as the connection. */
async function openPoint(
  address: Address,
  database: string,
  slot: string,
  control: WorkControl,
): Promise<{ snapshot: string; end(): Promise<void> }> {
  // The driver knows this parameter of the protocol, but its types do not.
  const config: ClientConfig & { replication: 'database' } = {
    ...parseIntoClientConfig(withDatabase(address.url, database)),
    database,
    application_name: address.application,
    connectionTimeoutMillis: address.limits.connect,
    replication: 'database',
  };
  const client = new Client(config);
  client.on('error', () => undefined);
  const giveUp = (): void => void endClient(client);
  control.signal.addEventListener('abort', giveUp, { once: true });
  try {
    await client.connect();
    control.progress(0, 0, 'bytes', 'waiting for open transactions, to begin at a point of its own');
    const { rows } = await client.query<{ snapshot_name: string }>(
      `CREATE_REPLICATION_SLOT "${slot}" LOGICAL pgoutput EXPORT_SNAPSHOT`,
    );
    return { snapshot: rows[0]!.snapshot_name, end: () => endClient(client) };
  } catch (cause) {
    await endClient(client);
    control.signal.throwIfAborted();
    throw new StepError(`the point of the copy could not be had: ${messageOf(cause)}`, { cause });
  } finally {
    control.signal.removeEventListener('abort', giveUp);
  }
}
