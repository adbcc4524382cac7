import type { Path } from '../../core/catalog.ts';
import type { CheckContext } from '../../core/check.ts';
import type { ColumnPair, TablePair } from './match.ts';
import { onBoth } from './run.ts';

export interface Comparison {
  readonly same: boolean;
  readonly rows: { readonly blue: bigint; readonly green: bigint };
  /** The columns that differ, by blue's names, when both sides have the same number of rows. */
  readonly columns: readonly Path[];
  /** `values`: the columns hold other values. `places`: the same ones, but in other rows. `unknown`: not found out. */
  readonly how: 'values' | 'places' | 'unknown';
}

/** Beyond this many columns, leaving out one after the other would read the table too often. */
const LEAVE_OUT_LIMIT = 100;

/** Compares a table, and when it differs, reads it again column by column to find out where. */
export async function compareTable(
  context: CheckContext,
  table: TablePair,
  columns: readonly ColumnPair[],
): Promise<Comparison> {
  const compare = async (chosen: readonly ColumnPair[]) => {
    const { blue, green } = await onBoth(context, (side) =>
      context[side].checksum(
        table[side].path,
        chosen.map((pair) => pair[side]),
      ),
    );
    return { same: blue.rows === green.rows && blue.sum === green.sum, blue: blue.rows, green: green.rows };
  };
  const whole = await compare(columns);
  const rows = { blue: whole.blue, green: whole.green };
  if (whole.same || rows.blue !== rows.green) return { same: whole.same, rows, columns: [], how: 'unknown' };

  const wrong: Path[] = [];
  for (const column of columns) {
    if (!(await compare([column])).same) wrong.push(column.path);
  }
  if (wrong.length > 0) return { same: false, rows, columns: wrong, how: 'values' };
  // Every column by itself holds the same values, so some have changed places: without the guilty one, all is equal.
  if (columns.length <= LEAVE_OUT_LIMIT) {
    for (const column of columns) {
      const others = columns.filter((other) => other !== column);
      if ((await compare(others)).same) wrong.push(column.path);
    }
  }
  return { same: false, rows, columns: wrong, how: wrong.length > 0 ? 'places' : 'unknown' };
}
