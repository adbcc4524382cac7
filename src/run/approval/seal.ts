import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Approval } from '../../core/approval.ts';
import { UsageError } from '../../core/errors.ts';
import { fingerprintOf } from '../../plan/fingerprint.ts';
import { addSecret } from '../../util/redact.ts';

/** The variable with the key by which approvals are signed. */
export const KEY_VARIABLE = 'CUTOVER_APPROVAL_KEY';

/** What is shorter can be guessed by whoever has an approval. */
const SHORTEST = 16;

/** The key of the environment, a secret from now on. Throws UsageError when it is too short, or empty. */
export function keyOf(variables: Readonly<Record<string, string>>): string | undefined {
  const key = variables[KEY_VARIABLE];
  if (key === undefined) return undefined;
  if (key.length >= SHORTEST) {
    addSecret(key);
    return key;
  }
  throw new UsageError(`${KEY_VARIABLE} is shorter than ${SHORTEST} characters`, {
    hint: 'make one, for instance with: openssl rand -hex 32',
  });
}

const signatureOf = (digest: string, key: string): string =>
  createHmac('sha256', key).update(`cutover approval ${digest}`).digest('hex');

/** Digest and signature make an approval of it. */
export function sealed(content: Omit<Approval, 'digest' | 'signature'>, key: string | undefined): Approval {
  const digest = fingerprintOf(content);
  return { ...content, digest, ...(key !== undefined && { signature: signatureOf(digest, key) }) };
}

/** What is wrong with the seal of an approval, in words; undefined when nothing is. */
export function brokenSeal(approval: Approval, key: string | undefined): string | undefined {
  const { digest, signature, ...content } = approval;
  if (fingerprintOf(content) !== digest)
    return 'its content was altered, or is damaged: the digest does not fit';
  if (key === undefined) return undefined;
  if (signature === undefined) return `it is not signed, and ${KEY_VARIABLE} is set`;
  const [given, right] = [Buffer.from(signature), Buffer.from(signatureOf(digest, key))];
  return given.length === right.length && timingSafeEqual(given, right)
    ? undefined
    : `its signature does not fit the key in ${KEY_VARIABLE}`;
}
