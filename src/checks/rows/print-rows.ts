import type { Finding } from '../../core/drivers/check.ts';
import { displayPath } from '../../util/sql.ts';
import { plural } from '../../util/units.ts';
import type { Located, RowDifference } from './locate.ts';

const MOST = 20;

/** The first rows that differ, a line each. */
export function describeRows({ rows, all }: Located): Pick<Finding, 'detail'> {
  if (rows.length === 0) return {};
  const lines = rows.slice(0, MOST).map((row) => `  ${describe(row)}`);
  const rest = rows.length - lines.length;
  if (!all) lines.push('  and more, which were not looked for');
  else if (rest > 0) lines.push(`  and ${plural(rest, 'row')} besides`);
  return { detail: lines.join('\n') };
}

function describe({ how, row, columns, times }: RowDifference): string {
  switch (how) {
    case 'missing':
      return `${row}: missing on green`;
    case 'extra':
      return `${row}: only on green`;
    case 'count':
      return `a row as at ${row}: ${plural(times.blue, 'time')} on blue, ${plural(times.green, 'time')} on green`;
    case 'changed': {
      const changes = columns.map(({ path, blue, green }) => {
        const name = displayPath(path.slice(2));
        return blue === undefined || green === undefined ? name : `${name} ${show(blue)} → ${show(green)}`;
      });
      return `${row}: ${changes.join(', ')}${columns.some(({ blue }) => blue !== undefined) ? '' : columns.length === 1 ? ' differs' : ' differ'}`;
    }
  }
}

const show = (value: string | null): string => (value === null ? 'NULL' : JSON.stringify(value));
