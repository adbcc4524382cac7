import { z } from 'zod';
import type { Checksum, Path } from '../core/database/catalog.ts';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import type { Side } from '../core/side.ts';
import { eachOf } from '../util/turns/lanes.ts';
import { displayPath } from '../util/sql.ts';
import { share } from '../util/options.ts';
import { plural } from '../util/units.ts';
import { pacedOptions } from './shared/pace.ts';
import { compareTable, readingOf } from './rows/compare-table.ts';
import { inGroups, sumsOf } from './rows/small-tables.ts';
import {
  columnPaths,
  droppedKeys,
  matchColumns,
  matchTables,
  readIgnored,
  type ColumnMatch,
  type ColumnWords,
  type TablePair,
} from './shared/match.ts';
import { keyOf, readName } from './shared/names.ts';
import { different, percent, report, type Tally } from './rows/print-checksums.ts';
import { failure, missingTable, readBoth, unknownName, unread, yamlList } from './shared/run.ts';

const NAME = 'checksums';
const options = pacedOptions({
  'ignore-columns': z
    .array(z.string())
    .default([])
    .meta({ description: 'Columns that are not compared: schema.table.column, or table.column in public.' }),
  'ignore-tables': z
    .array(z.string())
    .default([])
    .meta({ description: 'Tables that are not compared: schema.table, or a table in public.' }),
  as: z.record(z.string(), z.string().min(1)).default({}).meta({
    description:
      "Columns of green that are held against SQL over blue's columns: { items.price_cents: (price * 100)::bigint }.",
  }),
  sample: share().optional().meta({
    description: 'Every key is compared, but the other columns only in so many of the rows: 5%. Not a proof.',
  }),
  'show-values': z
    .boolean()
    .default(false)
    .meta({ description: 'Whether rows that differ are shown with their values; their keys always are.' }),
});
type Options = z.infer<typeof options>;

/** Compares every value of every row that both sides should have. */
export const checksums: Driver<Options, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'Every row of blue is on green with the same values',
  options,
  bare: true,
  open: (options) => ({
    when: 'closed',
    compares: true,
    describe: () => {
      const ignored = [...options['ignore-tables'], ...options['ignore-columns']];
      return [
        'reads every row of both sides and compares 64-bit checksums over the columns that both have',
        ...(options.sample === undefined
          ? []
          : [`only a sample: beside every key, the other columns of ${percent(options.sample)} of the rows`]),
        ...Object.entries(options.as).map(
          ([column, sql]) => `holds ${column} of green against ${sql} of blue`,
        ),
        ...(ignored.length > 0 ? [`does not look at ${ignored.join(', ')}`] : []),
      ];
    },
    run: (context) => run(context, options),
  }),
};

async function run(context: CheckContext, options: Options): Promise<Finding[]> {
  const { catalogs, expect, alike } = context;
  const tables = [...catalogs.blue.tables, ...catalogs.green.tables];
  const known = { tables: () => tables.map((table) => table.path), columns: () => columnPaths(tables) };
  const onGreen = (): Path[] => columnPaths(catalogs.green.tables);
  const ignored = {
    tables: readIgnored(options['ignore-tables'], 2, known.tables),
    columns: readIgnored(options['ignore-columns'], 3, known.columns),
  };
  const as = expressionsOf(alike ? {} : options.as, onGreen);
  const tally: Tally = { findings: [], skipped: [], rows: 0n, tables: 0, columns: 0, sampled: 0 };
  if (!alike)
    tally.findings.push(
      ...ignored.tables.unknown.map((name) => unknownName(NAME, 'ignore-tables', name, known.tables())),
      ...ignored.columns.unknown.map((name) => unknownName(NAME, 'ignore-columns', name, known.columns())),
      ...as.unknown.map((name) => unknownName(NAME, 'as', name, onGreen())),
    );
  const match = matchTables(catalogs, expect);
  const isIgnored = (path: Path): boolean => ignored.tables.keys.has(keyOf(path));
  for (const table of match.missing) {
    if (!isIgnored(table.path)) tally.findings.push(missingTable(NAME, table));
  }
  tally.skipped.push(
    ...ignored.tables.names.map((name) => `${name} (ignored)`),
    ...match.dropped.map((table) => `${displayPath(table.path)} (expected to be dropped)`),
  );
  const pairs = match.pairs.filter((pair) => !isIgnored(pair.blue.path) && !isIgnored(pair.green.path));
  const total = pairs.reduce((sum, pair) => sum + pair.blue.estimatedRows, 0);
  const words = {
    renames: match.renames,
    dropped: droppedKeys(expect),
    ignored: ignored.columns.keys,
    as: as.byKey,
  };
  let seen = 0n;
  const progress = (rows: bigint, name?: string): void => {
    seen += rows;
    const done = Number(seen);
    context.progress(done, Math.max(total, done), name);
  };
  const told = new Map<TablePair, Tally>();
  await eachOf(inGroups(pairs), context.blue.lanes, (group) =>
    compareGroup(context, group, { ...options, words, progress, told }),
  );
  for (const pair of pairs) add(tally, told.get(pair)!);
  const objects = await largeObjects(context, tally);
  context.progress(Number(seen), Number(seen));
  return report(NAME, tally, objects, options.sample);
}

interface Comparing extends Options {
  readonly words: ColumnWords;
  readonly progress: (rows: bigint, name: string) => void;
  /** What came of each table. */
  readonly told: Map<TablePair, Tally>;
}

/** Compares tables that one statement reads; what differs, or could not be read, is looked at by itself. */
async function compareGroup(
  context: CheckContext,
  pairs: readonly TablePair[],
  how: Comparing,
): Promise<void> {
  how.progress(0n, displayPath(pairs[0]!.blue.path));
  const { sample: share, 'show-values': values, words } = how;
  const group = pairs.map((pair) => ({ pair, columns: matchColumns(pair, words) }));
  const known = await sumsOf(
    context,
    group.map(({ pair, columns }) => readingOf(pair, columns.pairs, share)),
  );
  for (const [index, { pair, columns }] of group.entries()) {
    const name = displayPath(pair.blue.path);
    const progress = (rows: bigint): void => how.progress(rows, name);
    const sums = known?.[index];
    if (sums) progress(sums.blue.rows);
    const tally = tallyOf(columns);
    how.told.set(pair, tally);
    try {
      const result = await compareTable(context, pair, columns.pairs, { values, share, progress, sums });
      tally.tables = 1;
      tally.sampled = result.sampled ? 1 : 0;
      tally.rows = result.rows.blue;
      tally.columns = columns.pairs.length;
      if (result.difference)
        tally.findings.push(different(NAME, pair.blue.path, result.rows, result.difference));
    } catch (error) {
      tally.findings.push(unread(NAME, name, error));
    }
  }
}

/** Of a table before it is read. */
const tallyOf = (columns: ColumnMatch): Tally => ({
  findings: columns.missing.map(missingColumn),
  skipped: [
    ...columns.ignored.map((path) => `${displayPath(path)} (ignored)`),
    ...columns.dropped.map((path) => `${displayPath(path)} (expected to be dropped)`),
  ],
  rows: 0n,
  tables: 0,
  columns: 0,
  sampled: 0,
});

function add(tally: Tally, one: Tally): void {
  tally.findings.push(...one.findings);
  tally.skipped.push(...one.skipped);
  tally.rows += one.rows;
  tally.tables += one.tables;
  tally.columns += one.columns;
  tally.sampled += one.sampled;
}

/** What the playbook says of green's columns, by their keys, and the names that match none. */
function expressionsOf(
  as: Options['as'],
  known: () => readonly Path[],
): { byKey: ReadonlyMap<string, string>; unknown: string[] } {
  const keys = new Set(Object.keys(as).length === 0 ? [] : known().map(keyOf));
  const byKey = new Map<string, string>();
  const unknown: string[] = [];
  for (const [name, sql] of Object.entries(as)) {
    const path = readName(name, 3);
    if (path && keys.has(keyOf(path))) byKey.set(keyOf(path), sql);
    else unknown.push(name);
  }
  return { byKey, unknown };
}

const missingColumn = (path: Path): Finding =>
  failure(NAME, `column ${displayPath(path)} of blue is missing on green`, {
    hint: `if the migrations are meant to drop it: expect: { dropped: ${yamlList([path])} }`,
  });

/** Compares the large objects; says what the closing line says about them. */
async function largeObjects(context: CheckContext, tally: Tally): Promise<string> {
  let both: Readonly<Record<Side, Checksum | undefined>>;
  try {
    both = await readBoth(context, (side) => context[side].largeObjects());
  } catch (error) {
    tally.findings.push(unread(NAME, 'large objects', error));
    return '';
  }
  const { blue, green } = both;
  if (!blue || !green) {
    tally.findings.push({
      check: NAME,
      severity: 'unknown',
      message: 'large objects are there, and this role may not read pg_largeobject: they were not compared',
      hint: 'let the run connect as a role that may read pg_largeobject, or leave it be if nothing uses large objects',
    });
    return '';
  }
  if (blue.rows === green.rows && blue.sum === green.sum) {
    return blue.rows > 0n ? `, and ${plural(blue.rows, 'large object')}` : '';
  }
  const rows = `${plural(blue.rows, 'large object')} on blue, ${green.rows} on green`;
  tally.findings.push(failure(NAME, `the large objects differ: ${rows}`));
  return '';
}
