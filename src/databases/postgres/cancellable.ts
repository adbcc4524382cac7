import type { Address } from './address.ts';
import { openMaintenance, type Connection } from './connection.ts';

/** How long a statement may go on after it was asked to end. */
const GRACE_MS = 5000;

/**
 * Runs `work` and cancels what the connection is executing when the signal fires; then throws the signal's reason. A
 * server that does not hear it is let go.
 */
export async function cancellable<T>(
  connection: Connection,
  address: Address,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  let cancelled: Promise<void> | undefined;
  let over: NodeJS.Timeout | undefined;
  const letGo = (): void => connection.destroy('the server did not end the statement when it was asked to');
  const cancel = (): void => {
    over = setTimeout(letGo, address.limits.connect + GRACE_MS);
    cancelled = (async () => {
      const helper = await openMaintenance(address, 0);
      try {
        await helper.query('select pg_cancel_backend($1)', [connection.pid]);
      } finally {
        await helper.end();
      }
      // A request that does not get through is no error of its own: the timer lets the connection go.
    })().catch(() => undefined);
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
    clearTimeout(over);
    // One that is under way must not hit the next statement, which puts things back.
    await cancelled;
  }
}
