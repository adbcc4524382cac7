import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Marks what a run starts to work on its databases, so that what a killed run left behind can be found. Hooks do not
 * carry it: what a team starts in them, an application for instance, goes on.
 */
export const CHILD_VARIABLE = 'CUTOVER_CHILD_OF';

/**
 * Ends processes of a dead run on this machine that are still at work: what they were told to migrate may have another
 * copy of the same name by now. Looks into the processes' environment, which only Linux shows; says how many there were.
 */
export async function endStrayProcesses(run: string): Promise<number> {
  const wanted = `${CHILD_VARIABLE}=${run}`;
  const strays: number[] = [];
  for (const entry of await readdir('/proc').catch(() => [] as string[])) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const environment = await readFile(`/proc/${entry}/environ`, 'utf8').catch(() => '');
    if (environment.split('\0').includes(wanted)) strays.push(Number(entry));
  }
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    for (const pid of strays) {
      try {
        process.kill(pid, signal);
      } catch {
        // It has ended by itself.
      }
    }
    if (strays.length > 0) await sleep(300);
  }
  return strays.length;
}
