import { readdir, readFile } from 'node:fs/promises';
import type { ExecutionContext } from 'ava';
import { eventsOf, statusIn } from './cli.ts';
import type { LiveScene } from './live-scene.ts';
import type { TestServer } from './postgres.ts';
import { slowClient } from './slow-client.ts';
import { until } from './until.ts';

const movesOf = async ({ work }: LiveScene): Promise<number> =>
  (await eventsOf(work)).filter(({ type }) => type === 'ownership-moved').length;

/** Workers that apply changes in a database; stopped, nothing arrives there. */
const workers = async (server: TestServer, database: string): Promise<number[]> =>
  (
    await server.sql<{ pid: number }>(
      `select s.pid from pg_stat_subscription s join pg_subscription on oid = subid join pg_database d on d.oid = subdbid
       where s.pid is not null and datname = '${database}'`,
    )
  ).map(({ pid }) => pid);

export const signal = (pids: readonly number[], name: NodeJS.Signals): void => {
  for (const pid of pids) process.kill(pid, name);
};

/** The process that lets clients go on when its own dies. */
export async function guardsOf(run: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.includes('guard') && words.includes(run)) found.push(Number(pid));
  }
  return found;
}

/**
 * Starts a command, and gives it back at the moment when PgBouncer leads to the other side and nothing arrives there.
 * `meanwhile` is done when PgBouncer is about to hold clients.
 */
export async function ledAhead(
  t: ExecutionContext,
  made: LiveScene,
  command: readonly string[],
  meanwhile?: () => Promise<unknown>,
) {
  const { work, env, pooler } = made;
  const first = command[0] === 'run';
  const to = command[0] === 'swap-back' ? made.blue.name : made.green.name;
  const before = first ? 0 : await movesOf(made);
  const watch = await pooler.watch();
  const slow = await slowClient(pooler.url('shop'), 2);
  const started = work.start(command, env);
  // Not the pause for the copy.
  if (first)
    await until('the switch', async () => (await statusIn(work))?.steps['switch']?.phase === 'running');
  await until('the pause', () => watch.isPaused('shop'));
  // PAUSE waits for the slow client meanwhile.
  await meanwhile?.();
  const stopped = await workers(made.blue.server, to);
  t.true(stopped.length > 0);
  signal(stopped, 'SIGSTOP');
  t.teardown(() => {
    try {
      signal(stopped, 'SIGCONT');
    } catch {
      // They are gone.
    }
  });
  await until('the lead', async () => (await watch.leads('shop')) === to || started.child.exitCode !== null);
  t.true(await watch.isPaused('shop'));
  t.is(await movesOf(made), before);
  return {
    ...started,
    watch,
    goOn: () => signal(stopped, 'SIGCONT'),
    end: async (): Promise<void> => {
      await slow.end();
      await watch.end();
    },
  };
}
