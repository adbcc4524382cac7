import { setTimeout as sleep } from 'node:timers/promises';
import type { Resolve } from '../../core/drivers/driver.ts';
import { messageOf } from '../../core/errors.ts';
import { redact } from '../../util/redact.ts';
import { formatDuration } from '../../util/units.ts';
import type { Source } from './answer.ts';

/** How long one answer is waited for: a server that hangs has not said yes. */
const REQUEST_MS = 10_000;

/**
 * Asks the address of a gate until it answers with 2xx, which is a yes; everything else is none yet. What it says otherwise
 * is told once each. Never settles for a gate without an address.
 */
export const urlSource =
  (resolve: Resolve, say: (line: string) => void): Source =>
  async ({ limit: { url } }, signal) => {
    if (!url) return new Promise(() => undefined);
    const { host, ask } = requestsTo(resolve(url.address));
    let told = '';
    for (;;) {
      const said = await ask(signal);
      if (said === undefined) return { answer: 'go', by: `the gate at ${host}` };
      if (said !== told) say(redact(`The gate at ${host} ${said}: not yet`));
      told = said;
      await sleep(url.every, undefined, { signal });
    }
  };

function requestsTo(address: string): {
  readonly host: string;
  /** What it said instead of yes. */
  readonly ask: (signal: AbortSignal) => Promise<string | undefined>;
} {
  const target = new URL(address);
  const { host, username, password } = target;
  // An address with credentials in it is refused by fetch.
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const headers: Record<string, string> =
    username === '' && password === ''
      ? {}
      : { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
  [target.username, target.password] = ['', ''];
  return {
    host,
    async ask(signal) {
      try {
        const response = await fetch(target, {
          headers,
          // Somewhere else is not the answer that was asked for.
          redirect: 'manual',
          signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
        });
        await response.body?.cancel();
        return response.ok ? undefined : `answers ${response.status}`;
      } catch (error) {
        signal.throwIfAborted();
        return reason(error);
      }
    },
  };
}

/** What stands behind the general words of fetch. */
function reason(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError')
    return `did not answer within ${formatDuration(REQUEST_MS)}`;
  const cause = error instanceof Error ? error.cause : undefined;
  return `cannot be asked (${messageOf(cause ?? error)})`;
}
