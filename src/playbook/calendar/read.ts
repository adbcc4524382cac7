import { readFileSync, statSync } from 'node:fs';
import { codeOf, messageOf } from '../../core/errors.ts';
import type { ReadCalendar } from '../windows.ts';
import { daysOf } from './days.ts';

const MOST_BYTES = 1_000_000;
const DAY_MS = 24 * 3600 * 1000;
/** As far back as windows that were missed are told of, and a window as long as they get. */
const BACK_MS = 62 * DAY_MS;
/** Further ahead no window is looked for. */
const AHEAD_MS = 10 * 366 * DAY_MS;

/** Reads a calendar file for the years that windows are looked for in. */
export const readCalendar: ReadCalendar = (file, timezone) => {
  const now = Date.now();
  return daysOf(textOf(file), timezone, { from: now - BACK_MS, to: now + AHEAD_MS });
};

function textOf(file: string): string {
  try {
    if (statSync(file).size > MOST_BYTES) throw new Error('it is larger than 1 MB');
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    throw new Error(reasonOf(error), { cause: error });
  }
}

function reasonOf(error: unknown): string {
  const code = codeOf(error);
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'it may not be read by this user';
  if (code === 'EISDIR') return 'it is a folder';
  return code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'it is not UTF-8 text' : messageOf(error);
}
