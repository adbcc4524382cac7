import type { Checksum, Path, TableToHash } from '../../core/database/catalog.ts';
import type { CheckContext } from '../../core/drivers/check.ts';
import type { Side } from '../../core/side.ts';
import { locate, type Located } from './locate.ts';
import { columnsOfKey, type ColumnPair, type TablePair } from '../shared/match.ts';
import { readBoth } from '../shared/run.ts';

export interface Comparison {
  readonly rows: { readonly blue: bigint; readonly green: bigint };
  /** Undefined when both sides have the same rows. */
  readonly difference: Difference | undefined;
  /** Not every value was read: of a table whose key does not tell its rows apart all are. */
  readonly sampled: boolean;
}

export interface Difference {
  /** The columns that differ, by blue's names, when both sides have the same number of rows. */
  readonly columns: readonly Path[];
  /** `values`: the columns hold other values. `places`: the same ones, but in other rows. `unknown`: not found out. */
  readonly how: 'values' | 'places' | 'unknown';
  readonly located: Located;
}

export type Sums = Readonly<Record<Side, Checksum>>;

/** What is read of a table on either side. */
export interface Reading {
  /** Not every value is. */
  readonly sampled: boolean;
  readonly of: (side: Side) => TableToHash;
}

/** Of a table whose key does not tell its rows apart, or is all that it has, every value is read. */
export function readingOf(
  table: TablePair,
  columns: readonly ColumnPair[],
  share: number | undefined,
): Reading {
  const key = columnsOfKey(table, columns);
  const by = share !== undefined && key !== undefined && key.length < columns.length ? key : undefined;
  return {
    sampled: by !== undefined,
    of: (side) => ({
      table: table[side].path,
      columns: columns.map((pair) => pair[side]),
      sample: by && { by: by.map((pair) => pair[side]), share: share! },
    }),
  };
}

/** Compares a table, by `sums` where they are known already; when it differs, reads it again to find out where. */
export async function compareTable(
  context: CheckContext,
  table: TablePair,
  columns: readonly ColumnPair[],
  options: {
    readonly values: boolean;
    readonly share?: number | undefined;
    readonly progress: (rows: bigint) => void;
    readonly sums?: Sums | undefined;
  },
): Promise<Comparison> {
  const { sampled, of } = readingOf(table, columns, options.share);
  const { blue, green } =
    options.sums ??
    (await readBoth(context, (side) => {
      const { table: path, columns: hashed, sample } = of(side);
      return context[side].checksum(path, hashed, {
        sample,
        progress: side === 'blue' ? options.progress : undefined,
      });
    }));
  const rows = { blue: blue.rows, green: green.rows };
  if (rows.blue === rows.green && blue.sum === green.sum) return { rows, sampled, difference: undefined };
  const located = await locate(context, table, columns, { rows, ...options });
  if (rows.blue !== rows.green)
    return { rows, sampled, difference: { columns: [], how: 'unknown', located } };
  return { rows, sampled, difference: { ...(await columnsOf(context, table, columns, located)), located } };
}

/** Which columns account for it. */
async function columnsOf(
  context: CheckContext,
  table: TablePair,
  columns: readonly ColumnPair[],
  located: Located,
): Promise<Pick<Difference, 'columns' | 'how'>> {
  const sums = await readBoth(context, (side) =>
    context[side].columnSums(
      table[side].path,
      columns.map((pair) => pair[side]),
    ),
  );
  const values = columns.filter((_, index) => sums.blue[index] !== sums.green[index]);
  if (values.length > 0) return { columns: values.map(({ path }) => path), how: 'values' };
  // Every column by itself holds the same values, so some have changed places: the rows tell which.
  const moved = new Set(located.rows.flatMap((row) => row.columns.map(({ path }) => path)));
  const places = columns.filter(({ path }) => moved.has(path)).map(({ path }) => path);
  return { columns: places, how: places.length > 0 ? 'places' : 'unknown' };
}
