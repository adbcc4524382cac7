import { addSecret } from '../../util/redact.ts';
import { literalOf } from './interpolate.ts';

const LIMIT = 4096;
/** After the colon: no port number, and something besides references. */
const IN_USERINFO = /:\/\/[^\s/@:]*:(?!\d+(?:[/?#]|$))([^@\s]+)@/;
const IN_PARAMETER = /(?:^|[?&\s])(?:ssl)?password\s*=\s*('[^']+'|[^\s&']+)/i;

/** True when a text holds a password itself; it is blotted out of what is printed from now on. */
export function holdsPassword(text: string): boolean {
  const literal = literalOf(text).slice(0, LIMIT);
  const found = passwordIn(literal) ?? passwordIn(decoded(literal));
  // The password as it is written, references included, is what an excerpt would show.
  for (const secret of [found, passwordIn(text.slice(0, LIMIT))]) if (found !== undefined) addSecret(secret);
  return found !== undefined;
}

const passwordIn = (text: string): string | undefined =>
  IN_USERINFO.exec(text)?.[1] ?? IN_PARAMETER.exec(text)?.[1];

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
