import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../../core/errors.ts';
import type { Connection } from '../../databases/postgres/connection.ts';
import { describeHolder } from '../../util/files/lock.ts';

/** How long a lock that somebody has is asked for: a backend takes a moment to notice that its client is gone. */
const PATIENCE_MS = 1000;

/** Key of a run's journal in the one-key space of advisory locks: the first eight bytes of a SHA-256, as text. */
export const lockKey = (run: string): string =>
  createHash('sha256').update(`cutover journal ${run}`).digest().readBigInt64BE().toString();

/** Takes the lock of a run's journal for this session, and says who has it. Throws RefusedError that names the holder. */
export async function takeWriterLock(connection: Connection, run: string): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(50)) {
    const [row] = await connection.query<{ taken: boolean }>(
      'select pg_try_advisory_lock($1::int8) as taken',
      [lockKey(run)],
    );
    if (row!.taken) break;
    if (Date.now() < deadline) continue;
    throw new RefusedError(
      `another process works on run ${run}: ${(await writerOf(connection, run)) ?? 'its session is about to end'}`,
      { hint: `to see what it does: cutover status ${run} --watch` },
    );
  }
  const self = { pid: process.pid, host: hostname(), since: new Date().toISOString(), birth: '' };
  await connection.query('update cutover.runs set writer = $2 where run = $1', [run, describeHolder(self)]);
}

/** Who holds a run's journal; undefined when no session does. */
export async function writerOf(connection: Connection, run: string): Promise<string | undefined> {
  const [row] = await connection.query<{ writer: string | null }>(
    `select r.writer from cutover.runs r where r.run = $1 and exists (
       select from pg_locks l where l.locktype = 'advisory' and l.granted and l.objsubid = 1
         and l.database = (select oid from pg_database where datname = current_database())
         and (l.classid::int8 << 32) | l.objid::int8 = $2::int8)`,
    [run, lockKey(run)],
  );
  return row && (row.writer ?? 'a process that has just begun');
}
