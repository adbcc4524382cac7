import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError, StepError } from '../../core/errors.ts';
import type { Address } from './address.ts';
import { openMaintenance, type Connection } from './connection.ts';

// "cutover" in the two-key space of advisory locks; the second key is the database's object id.
const SPACE = 0x6375746f;

/** One run for one database at a time: an advisory lock, held as long as this session lives. */
export class RunLock {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  static async take(address: Address, oids: readonly number[], patience: number): Promise<RunLock> {
    const connection = await openMaintenance(address, patience);
    try {
      for (const oid of oids) await takeOne(connection, oid, address.application);
      return new RunLock(connection);
    } catch (error) {
      await connection.end();
      throw error;
    }
  }

  /** Throws when the session that holds the lock has gone: then somebody else may have it. */
  async assertHeld(): Promise<void> {
    try {
      await this.#connection.query('select 1');
    } catch (cause) {
      throw new StepError('the session that holds the run lock was lost', { cause, hint: 'run again' });
    }
  }

  async isHeld(): Promise<boolean> {
    return this.assertHeld().then(
      () => true,
      () => false,
    );
  }

  get pid(): number {
    return this.#connection.pid;
  }

  release(): Promise<void> {
    return this.#connection.end();
  }
}

/** How long the server may take to notice that the client of a session of this very run is gone. */
const NOTICE_MS = 40_000;

interface Holder {
  readonly pid: number;
  readonly application: string;
  readonly address: string;
  readonly since: string;
}

async function takeOne(connection: Connection, oid: number, application: string): Promise<void> {
  for (const deadline = Date.now() + NOTICE_MS; ; await sleep(200)) {
    const other = await tryOne(connection, oid);
    if (other === 'taken') return;
    // Whoever had it let it go between the two questions: then it is to be had.
    if (!other && Date.now() < deadline) continue;
    // A session of a process of this run that died lives on until the server finds out; it is waited for, not ended.
    if (other?.application === application && Date.now() < deadline) continue;
    throw new RefusedError(
      other
        ? `another run works on this database: ${other.application} from ${other.address} since ${other.since} (pid ${other.pid})`
        : 'another run works on this database',
      {
        hint: other
          ? `wait until it has finished; if its process is gone for good: select pg_terminate_backend(${other.pid})`
          : 'wait until it has finished',
      },
    );
  }
}

async function tryOne(connection: Connection, oid: number): Promise<'taken' | Holder | undefined> {
  // Advisory lock keys are signed; object ids are not.
  const key = oid > 0x7fffffff ? oid - 0x100000000 : oid;
  const [row] = await connection.query<{ taken: boolean }>('select pg_try_advisory_lock($1, $2) as taken', [
    SPACE,
    key,
  ]);
  if (row!.taken) return 'taken';
  const [holder] = await connection.query<Holder & Record<string, unknown>>(
    `select a.pid, a.application_name as application, coalesce(host(a.client_addr), case when a.backend_start is null then 'somewhere' else 'a local socket' end) as address,
            coalesce(to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC', 'some time') as since
     from pg_locks l join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.classid::int8 = $1 and l.objid::int8 = $2 and l.objsubid = 2 and l.granted`,
    [SPACE, oid],
  );
  return holder;
}
