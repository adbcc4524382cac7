import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until something is so; fails when it does not come about. */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + 40_000; !(await holds()); await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`${what}: waited in vain`);
  }
}
