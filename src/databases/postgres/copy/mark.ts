import type { Mark } from '../../../core/database/mark.ts';

/** The mark is the database's comment, so that `\l+` shows it to everybody. Format: docs/formats.md. */
export function formatMark(mark: Mark): string {
  const meaning =
    mark.as === 'copy'
      ? 'the copy made by this run; not live'
      : 'the previous copy, kept to swap back; not live';
  return `cutover run=${mark.run} as=${mark.as} (${meaning})`;
}

export function parseMark(comment: string | null | undefined): Mark | undefined {
  const match = /^cutover run=([\w-]+) as=(copy|previous) /.exec(comment ?? '');
  return match ? { run: match[1]!, as: match[2] as Mark['as'] } : undefined;
}

/** Until a new copy is marked, its name says whose it is. */
export const interimName = (run: string): string => `cutover_${run}`;
