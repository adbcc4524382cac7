import { UsageError } from '../../core/errors.ts';

/** Separated by commas, but for those inside of quoted names. */
export const listOf = (text: string): string[] =>
  (text.match(/(?:"(?:[^"]|"")*"|[^,"])+/g) ?? []).map((name) => name.trim()).filter((name) => name !== '');

export function maxActiveOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new UsageError(`--max-active ${text} is not a number from 0 to 99999`);
}

export function jobsOf(text: string | undefined, otherwise = 2): number {
  const jobs = Number(text ?? otherwise);
  if (Number.isSafeInteger(jobs) && jobs >= 1 && jobs <= 64) return jobs;
  throw new UsageError(`--jobs ${text} is not a number from 1 to 64`);
}
