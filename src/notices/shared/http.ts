import { z } from 'zod';
import { messageOf } from '../../core/errors.ts';
import { UndeliverableError } from '../../core/drivers/notice.ts';
import { addSecretsOfUrl } from '../../util/redact.ts';

const WRONG = 'must be an address: https://…';

/** An address that notices are sent to; what it says to the world is who may write there. */
export const address = () =>
  z
    .string({ error: (issue) => (issue.input === undefined ? undefined : WRONG) })
    .refine((text) => isAddress(text), { error: WRONG });

function isAddress(text: string): boolean {
  const { protocol, hostname } = URL.parse(text) ?? { protocol: '', hostname: '' };
  return /^https?:$/.test(protocol) && hostname !== '';
}

/** As much of an address as may be shown: the rest of it is what lets somebody write there. */
export const placeOf = (url: string): string => URL.parse(url)?.origin ?? 'an address that is none';

/** Statuses of an answer that may be another one soon. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429]);

/**
 * Asks an address once. Throws when it does not answer with 2xx; UndeliverableError when it would not the next time
 * either. Redirects are not followed: what is sent is meant for this place and no other.
 */
export async function ask(url: string, request: RequestInit, signal: AbortSignal): Promise<void> {
  addSecretsOfUrl(url);
  const { address: plain, authorization } = withoutUser(url);
  const headers = new Headers(request.headers);
  if (authorization !== undefined) headers.set('authorization', authorization);
  const response = await fetch(plain, { ...request, headers, signal, redirect: 'manual' }).catch(
    (error: unknown) => {
      signal.throwIfAborted();
      throw new Error(reasonOf(error), { cause: error });
    },
  );
  // What it says is of no interest, and may be without end.
  await response.body?.cancel();
  if (response.ok) return;
  const message = `it answered ${response.status}`;
  if (response.status >= 500 || PASSING.has(response.status)) throw new Error(message);
  throw new UndeliverableError(message);
}

/** `fetch` takes no user and password in an address. */
function withoutUser(url: string): { address: string; authorization: string | undefined } {
  const { username, password } = new URL(url);
  if (username === '' && password === '') return { address: url, authorization: undefined };
  const plain = new URL(url);
  plain.username = '';
  plain.password = '';
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { address: plain.href, authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** What stands behind the general words of fetch. */
const reasonOf = (error: unknown): string =>
  messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
