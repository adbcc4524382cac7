import { redact } from '../../util/redact.ts';
import type { GlobalOptions } from './io.ts';

/** Commands that somebody may type as they are printed. */
const ADVISED =
  /\bcutover (?=(?:abort|approve|reject|resume|swap-back|switch|retire|status|runs|run|plan)\b)/g;

/** Puts the flags that this command was given into the commands that its output advises, so that they work as they stand. */
export function repeatFlags(options: GlobalOptions): (text: string) => string {
  const flags = [
    ...(options.state === '.cutover' ? [] : ['--state', redact(options.state)]),
    ...(options.envFile ?? []).flatMap((file) => ['--env-file', file]),
  ].map(shellWord);
  return flags.length === 0
    ? (text) => text
    : (text) => text.replaceAll(ADVISED, `cutover ${flags.join(' ')} `);
}

export const shellWord = (text: string): string =>
  /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
