import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { StepError } from '../../core/errors.ts';
import type { SqlSession } from '../../core/drivers/migrator.ts';
import { formatDuration } from '../../util/units.ts';
import type { Worker } from './session.ts';
import type { VersionTable } from './version-table.ts';

/** 31 bits: the keys are read back from pg_locks, where they are unsigned. */
const keyOf = (text: string): number =>
  createHash('sha256').update(text).digest().readUInt32BE(0) & 0x7fff_ffff;

const FIRST_KEY = keyOf('cutover sql migrations');
const POLL_MS = 100;

/**
 * Takes the session's advisory lock for a version table, which keeps other migrations out until the session ends.
 * Throws StepError that names the holder after `waitMs`.
 */
export async function lockMigrations(worker: Worker, table: VersionTable, waitMs: number): Promise<void> {
  const { session, signal } = worker;
  const key = keyOf(table.quoted);
  const deadline = performance.now() + waitMs;
  for (;;) {
    const [answer] = await session.query<{ taken: string }>(
      'select pg_catalog.pg_try_advisory_lock($1::int, $2::int)::text as taken',
      [FIRST_KEY, key],
    );
    if (answer?.taken === 'true') return;
    if (performance.now() >= deadline) throw await held(session, table, key, waitMs);
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    signal.throwIfAborted();
  }
}

async function held(
  session: SqlSession,
  table: VersionTable,
  key: number,
  waitMs: number,
): Promise<StepError> {
  const [holder] = await session.query<{ pid: string; application: string | null; since: string | null }>(
    `select l.pid::text as pid, a.application_name as application,
            to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') as since
       from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'advisory' and l.granted and l.objsubid = 2
        and l.classid::bigint = $1::bigint and l.objid::bigint = $2::bigint
        and l.database = (select oid from pg_catalog.pg_database where datname = current_database())`,
    [FIRST_KEY, key],
  );
  const waited = waitMs > 0 ? ` after ${formatDuration(waitMs)}` : '';
  if (!holder) {
    return new StepError(`the lock on ${table.display} could not be had${waited}`, {
      hint: 'it has been let go just now: run again',
    });
  }
  const { pid, application, since } = holder;
  const who = `pid ${pid}, application_name "${application ?? ''}"${since ? `, connected since ${since}` : ''}`;
  return new StepError(`another migration holds the lock on ${table.display}${waited}: ${who}`, {
    hint: `wait until it is done, or raise lock-wait; if nobody is behind it: select pg_terminate_backend(${pid})`,
  });
}
