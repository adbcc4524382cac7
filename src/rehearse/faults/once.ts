import type { Stage } from '../stage/stage.ts';

/** Ends every connection of the tool's to the servers, and gives how many there were. */
export async function cut(stage: Stage): Promise<number> {
  let count = 0;
  for (const side of stage.sides) {
    const ended = await stage.ask(
      side,
      'postgres',
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'cutover 2%'`,
    );
    count += ended.length;
  }
  return count;
}

/**
 * Kills a process of every server, which throws out everybody and recovers; gives how many. It is one that is always there:
 * a client's may have ended when its turn comes.
 */
export async function crash(stage: Stage): Promise<number> {
  const killed: (() => Promise<void>)[] = [];
  for (const side of stage.sides) {
    const [one] = await stage.ask<{ pid: number }>(
      side,
      'postgres',
      `select pid from pg_stat_activity where backend_type = 'background writer'`,
    );
    if (one) killed.push(() => stage.kill(side, one.pid));
  }
  for (const kill of killed) await kill();
  return killed.length;
}
