import type { Buckets, Checksum, HashedColumn, HashedRow, Path } from '../../core/database/catalog.ts';
import type { CheckContext } from '../../core/drivers/check.ts';
import type { Side } from '../../core/side.ts';
import { columnsOfKey, type ColumnPair, type TablePair } from '../shared/match.ts';
import { readBoth } from '../shared/run.ts';

/** A row that is not the same on both sides. */
export interface RowDifference {
  /** `changed`: the columns differ. `missing` and `extra` are green's. `count`: without a key, another number of equal rows. */
  readonly how: 'changed' | 'missing' | 'extra' | 'count';
  /** By the key's columns, or where it stands when there is no key. */
  readonly row: string;
  readonly columns: readonly {
    readonly path: Path;
    readonly blue: string | null | undefined;
    readonly green: string | null | undefined;
  }[];
  readonly times: Readonly<Record<Side, number>>;
}

export interface Located {
  readonly rows: readonly RowDifference[];
  /** These are all of them. */
  readonly all: boolean;
}

/** Rows that one bucket should hold, for a reading to give few and for few buckets to be held in memory. */
const PER_BUCKET = 64;
const MOST_BITS = 16;
/** Buckets whose rows are looked at, and rows of them that a side gives. */
const PICKED = 32;
const ROWS = 5000;

interface Subject {
  readonly context: CheckContext;
  readonly table: TablePair;
  readonly columns: readonly ColumnPair[];
  /** Columns that identify a row; all of them where there is no key. */
  readonly by: readonly ColumnPair[];
}

/**
 * Which rows of a table differ. A reading gives a checksum for each bucket of rows, by a hash of what identifies them;
 * of the buckets that differ the rows are read and held against each other. Both ends are open: no row is beyond the
 * last bucket.
 */
export async function locate(
  context: CheckContext,
  table: TablePair,
  columns: readonly ColumnPair[],
  { rows, values }: { readonly rows: Readonly<Record<Side, bigint>>; readonly values: boolean },
): Promise<Located> {
  const key = columnsOfKey(table, columns);
  const subject = { context, table, columns, by: key ?? columns };
  const most = Number(rows.blue > rows.green ? rows.blue : rows.green);
  const narrowed = await narrow(subject, most);
  const found = await readBoth(context, (side) =>
    context[side].rowsIn(table[side].path, of(columns, side), bucketsOf(subject, side, narrowed), {
      limit: ROWS,
      values,
    }),
  );
  const differences = key ? byKey(subject, found) : byContent(found);
  const limited = found.blue.length === ROWS || found.green.length === ROWS;
  return { rows: differences, all: narrowed.all && !limited };
}

const of = (pairs: readonly ColumnPair[], side: Side): HashedColumn[] => pairs.map((pair) => pair[side]);

interface Narrowed {
  readonly bits: number;
  readonly among: readonly number[];
  readonly all: boolean;
}

const bucketsOf = ({ by }: Subject, side: Side, { bits, among }: Narrowed): Buckets => ({
  by: of(by, side),
  bits,
  among,
});

/** Cuts finer and finer until a bucket holds few rows; only buckets that differ are cut further. */
async function narrow(subject: Subject, rows: number): Promise<Narrowed> {
  const { context, table, columns } = subject;
  const enough = Math.max(0, Math.ceil(Math.log2(rows / PER_BUCKET)));
  let now: Narrowed = { bits: 0, among: [], all: true };
  while (now.bits < enough) {
    const bits = Math.min(enough, now.bits + MOST_BITS);
    const outer = now;
    const sums = await readBoth(context, (side) =>
      context[side].buckets(
        table[side].path,
        of(columns, side),
        { by: of(subject.by, side), bits },
        outer.bits === 0 ? undefined : bucketsOf(subject, side, outer),
      ),
    );
    const differing = [...new Set([...sums.blue.keys(), ...sums.green.keys()])]
      .filter((bucket) => !equal(sums.blue.get(bucket), sums.green.get(bucket)))
      .sort((a, b) => a - b);
    now = { bits, among: differing.slice(0, PICKED), all: now.all && differing.length <= PICKED };
  }
  return now;
}

const equal = (one: Checksum | undefined, other: Checksum | undefined): boolean =>
  one?.rows === other?.rows && one?.sum === other?.sum;

type Found = Readonly<Record<Side, readonly HashedRow[]>>;

function byKey({ columns, by }: Subject, found: Found): RowDifference[] {
  const name = (row: HashedRow): string =>
    by.map((pair, index) => `${pair.path.at(-1)}=${row.key[index] ?? 'NULL'}`).join(', ');
  // A side that lost its key may hold one twice.
  const green = Map.groupBy(found.green, ({ id }) => id);
  const differences: RowDifference[] = [];
  for (const row of found.blue) {
    const [there, ...rest] = green.get(row.id) ?? [];
    if (rest.length > 0) green.set(row.id, rest);
    else green.delete(row.id);
    if (!there)
      differences.push({ how: 'missing', row: name(row), columns: [], times: { blue: 1, green: 0 } });
    else if (there.hash !== row.hash)
      differences.push({
        how: 'changed',
        row: name(row),
        columns: columns.flatMap(({ path }, index) =>
          row.hashes[index] === there.hashes[index]
            ? []
            : [{ path, blue: row.values[index], green: there.values[index] }],
        ),
        times: { blue: 1, green: 1 },
      });
  }
  for (const row of [...green.values()].flat())
    differences.push({ how: 'extra', row: name(row), columns: [], times: { blue: 0, green: 1 } });
  return differences;
}

/** Without a key, equal rows can only be counted. */
function byContent(found: Found): RowDifference[] {
  const [blue, green] = (['blue', 'green'] as const).map((side) =>
    Map.groupBy(found[side], ({ hash }) => hash),
  );
  return [...new Set([...blue!.keys(), ...green!.keys()])].flatMap((hash) => {
    const [here, there] = [blue!.get(hash) ?? [], green!.get(hash) ?? []];
    if (here.length === there.length) return [];
    const side = here.length > 0 ? 'blue' : 'green';
    return [
      {
        how: 'count' as const,
        row: `${(here[0] ?? there[0])!.place} on ${side}`,
        columns: [],
        times: { blue: here.length, green: there.length },
      },
    ];
  });
}
