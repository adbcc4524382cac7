import { RefusedError } from '../../core/errors.ts';
import type { Connection } from '../../databases/postgres/connection.ts';
import { lockKey, writerOf } from './writer-lock.ts';

/** Removes a run whole, or not at all. Throws RefusedError that names the holder while somebody holds its journal. */
export async function removeRun(connection: Connection, run: string): Promise<void> {
  await connection.query('begin');
  try {
    const [row] = await connection.query<{ taken: boolean }>(
      'select pg_try_advisory_xact_lock($1::int8) as taken',
      [lockKey(run)],
    );
    if (!row!.taken) {
      throw new RefusedError(
        `another process works on run ${run}: ${(await writerOf(connection, run)) ?? 'its session is about to end'}`,
      );
    }
    for (const table of ['requests', 'events', 'runs'])
      await connection.query(`delete from cutover.${table} where run = $1`, [run]);
    await connection.query('commit');
  } catch (error) {
    // What happened first is told; a session that cannot roll back has been by the server.
    if (!connection.lost) await connection.query('rollback').catch(() => undefined);
    throw error;
  }
}
