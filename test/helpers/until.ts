import { access } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** For what a slow machine may take; what is waited for is what is tested, and not how long it takes. */
const PATIENCE_MS = 120_000;

/** Waits until something is so; fails when it does not come about. */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; !(await holds()); await sleep(20)) {
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
