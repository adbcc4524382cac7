import { setTimeout as sleep } from 'node:timers/promises';
import { StepError } from '../../../core/errors.ts';
import type { Connection } from '../connection.ts';

const END_MS = 30_000;

/**
 * Ends the sessions that a dead process of the run left on the server. A backend does not notice that its client is
 * gone before it has finished its statement: a `CREATE DATABASE` would make its copy after everything was put back.
 * Only for whoever holds the run's lock.
 */
export async function endAbandoned(
  admin: Connection,
  application: string,
  ownPids: readonly number[],
): Promise<void> {
  for (const deadline = Date.now() + END_MS; ; await sleep(50)) {
    const sessions = await admin.query<{ pid: number }>(
      `select pid, pg_terminate_backend(pid) from pg_stat_activity
       where application_name = $1 and pid <> all($2::int[]) and backend_type = 'client backend'`,
      [application, [admin.pid, ...ownPids]],
    );
    if (sessions.length === 0) return;
    if (Date.now() > deadline) {
      throw new StepError(
        `sessions of a dead process of this run do not end: ${sessions.map(({ pid }) => pid).join(', ')}`,
        {
          hint: 'look at what they wait for in pg_stat_activity, and try again',
        },
      );
    }
  }
}
