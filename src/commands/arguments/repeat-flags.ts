import { redact } from '../../util/redact.ts';
import type { GlobalOptions } from '../shared/io.ts';

/** Commands that somebody may type as they are printed. */
const ADVISED =
  /\bcutover (?=(?:abort|approve|reject|resume|swap-back|switch|retire|status|runs|run|plan)\b)/g;

/** The flags that this command was given, for another one that is to find the same run. */
export const givenFlags = ({ state, envFile, tools }: GlobalOptions): string[] => [
  ...(state === '.cutover' ? [] : ['--state', state]),
  ...(envFile ?? []).flatMap((file) => ['--env-file', file]),
  ...(tools === undefined ? [] : ['--tools', tools]),
];

/** Puts the flags that this command was given into the commands that its output advises, so that they work as they stand. */
export function repeatFlags(options: GlobalOptions): (text: string) => string {
  const flags = givenFlags(options).map((flag) => shellWord(redact(flag)));
  return flags.length === 0
    ? (text) => text
    : (text) => text.replaceAll(ADVISED, `cutover ${flags.join(' ')} `);
}

export const shellWord = (text: string): string =>
  /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
