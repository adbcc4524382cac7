import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, NotPutBack } from '../../core/errors.ts';

const TRIES = 8;
/** After the first try; the waits grow by this, so that all of them take 2.8 s. */
const WAIT_MS = 100;

/**
 * What must come through, because clients wait for it: whatever failed may have broken our connections, which are opened
 * anew. Throws NotPutBack, with `what` in its message, when no try came through.
 */
export async function insist(work: () => Promise<unknown>, what: string, cause?: unknown): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await work();
      return;
    } catch (error) {
      if (tries === TRIES) throw new NotPutBack(`${what}: ${messageOf(error)}`, { cause: cause ?? error });
      await sleep(tries * WAIT_MS);
    }
  }
}
