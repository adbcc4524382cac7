import type { Path } from '../../core/database/catalog.ts';
import type { Finding } from '../../core/drivers/check.ts';
import { displayPath } from '../../util/sql.ts';
import { plural } from '../../util/units.ts';
import type { Comparison, Difference } from './compare-table.ts';
import { describeRows } from './print-rows.ts';
import { failure, yamlList } from '../shared/run.ts';

/** What a reading found, on the way to the report. */
export interface Tally {
  readonly findings: Finding[];
  readonly skipped: string[];
  rows: bigint;
  tables: number;
  columns: number;
  /** Of the tables: only in a sample. */
  sampled: number;
}

/** Without the noise of floating point. */
export const percent = (share: number): string => `${Number((share * 100).toFixed(4))} %`;

/** What is told of a table that differs. */
export function different(
  check: string,
  table: Path,
  { blue, green }: Comparison['rows'],
  difference: Difference,
): Finding {
  const name = displayPath(table);
  const counts = `${plural(blue, 'row')} on blue, ${plural(green, 'row')} on green`;
  const rows = describeRows(difference.located);
  if (blue !== green) {
    return failure(check, `${name} differs: ${counts}`, {
      ...rows,
      hint: `blue is untouched; if the migrations are meant to add or remove rows: checksums: { ignore-tables: ${yamlList([table])} }`,
    });
  }
  const { how } = difference;
  const columns = difference.columns.map((path) => displayPath(path.slice(2))).join(', ');
  if (how === 'unknown') {
    return failure(check, `${name} differs, and no single column accounts for it: ${counts}`, {
      ...rows,
      hint: `blue is untouched; if this is meant: checksums: { ignore-tables: ${yamlList([table])} }`,
    });
  }
  const where =
    how === 'places' ? `the values of ${columns} are the same but in other rows` : `in ${columns}`;
  return failure(check, `${name} differs ${how === 'places' ? `(${where})` : where}: ${counts}`, {
    ...rows,
    hint: `blue is untouched; if the migrations are meant to change this: checksums: { ignore-columns: ${yamlList(difference.columns)} }`,
  });
}

/** What was not compared, and what is proved. */
export function report(check: string, tally: Tally, objects: string, share: number | undefined): Finding[] {
  const { findings, skipped } = tally;
  if (skipped.length > 0) {
    const message = `not compared: ${skipped.slice(0, 20).join(', ')}${skipped.length > 20 ? ` and ${skipped.length - 20} more` : ''}`;
    findings.push({
      check,
      severity: 'note',
      message,
      ...(skipped.length > 20 ? { detail: skipped.join('\n') } : {}),
    });
  }
  if (share !== undefined && tally.sampled > 0)
    findings.push({
      check,
      severity: 'note',
      message:
        `a sample, no proof: in ${plural(tally.sampled, 'table')} every row's key was compared, ` +
        `and the other columns of ${percent(share)} of the rows`,
    });
  if (findings.some((finding) => finding.severity === 'failure')) return findings;
  // Something was not read: what was is said all the same.
  const message =
    `${plural(tally.rows, 'row')} in ${plural(tally.tables, 'table')} (${plural(tally.columns, 'column')})` +
    `${objects} have the same checksums on both sides`;
  return [...findings, { check, severity: 'ok', message }];
}
