import { UsageError } from '../../core/errors.ts';

/** Separated by commas, but for those inside of quoted names. */
export const listOf = (text: string): string[] =>
  (text.match(/(?:"(?:[^"]|"")*"|[^,"])+/g) ?? []).map((name) => name.trim()).filter((name) => name !== '');

export function jobsOf(text: string | undefined, otherwise = 2): number {
  const jobs = Number(text ?? otherwise);
  if (Number.isSafeInteger(jobs) && jobs >= 1 && jobs <= 64) return jobs;
  throw new UsageError(`--jobs ${text} is not a number from 1 to 64`);
}
