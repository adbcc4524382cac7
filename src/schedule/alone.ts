import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../core/errors.ts';
import { describeHolder, takeLock } from '../util/files/lock.ts';

const LOCK = 'scheduler';

/** Two that begin at the same instant both give way: one of them comes through at another one. */
const TRIES = 6;
const LONGEST_WAIT_MS = 250;

/**
 * Works as the only scheduler of a state folder: two would use windows twice. Throws RefusedError when another process
 * of this host is at it; one that was killed holds nothing.
 */
export async function alone<T>(stateFolder: string, work: () => Promise<T>): Promise<T> {
  await mkdir(stateFolder, { recursive: true, mode: 0o700 });
  const release = await take(stateFolder);
  try {
    return await work();
  } finally {
    await release();
  }
}

async function take(folder: string): Promise<() => Promise<void>> {
  for (let tries = 1; ; tries += 1) {
    const taken = await takeLock(folder, LOCK);
    if ('release' in taken) return taken.release;
    if (tries === TRIES)
      throw new RefusedError(`another scheduler is at work here: ${describeHolder(taken.holder)}`, {
        where: folder,
        hint: 'no run was begun; wait until it has ended, or end it: it puts a run in flight back',
      });
    await sleep(Math.random() * LONGEST_WAIT_MS);
  }
}
