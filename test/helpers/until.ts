import { access } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until something is so; fails when it does not come about. */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + 40_000; !(await holds()); await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`${what}: waited in vain`);
  }
}

/** Waits for a file, by which a hook says that a run has come so far. */
export const appears = (path: string): Promise<void> =>
  until(path, () =>
    access(path).then(
      () => true,
      () => false,
    ),
  );
