import { z } from 'zod';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import { eachOf } from '../util/turns/lanes.ts';
import { displayPath } from '../util/sql.ts';
import { formatCount, plural } from '../util/units.ts';
import { pacedOptions } from './shared/pace.ts';
import { matchTables, readIgnored } from './shared/match.ts';
import { keyOf } from './shared/names.ts';
import { failure, missingTable, readBoth, unknownName, unread } from './shared/run.ts';

const NAME = 'row-counts';
const options = pacedOptions({
  'ignore-tables': z
    .array(z.string())
    .default([])
    .meta({ description: 'Tables whose rows are not counted.' }),
});
type Options = z.infer<typeof options>;

/** Counts every table's rows on both sides. */
export const rowCounts: Driver<Options, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'Every table of blue has the same number of rows on green',
  options,
  bare: true,
  open: (options) => ({
    when: 'closed',
    compares: true,
    describe: () => [
      `counts the rows of every table on both sides${except(options['ignore-tables'])}; values are not looked at`,
    ],
    run: (context) => run(context, options['ignore-tables']),
  }),
};

const except = (tables: readonly string[]): string =>
  tables.length > 0 ? `, except ${tables.join(', ')}` : '';

async function run(context: CheckContext, ignore: readonly string[]): Promise<Finding[]> {
  const { blue, green } = context.catalogs;
  const known = () => [...blue.tables, ...green.tables].map((table) => table.path);
  const ignored = readIgnored(ignore, 2, known);
  const isIgnored = (path: readonly string[]): boolean => ignored.keys.has(keyOf(path));
  const match = matchTables(context.catalogs, context.expect);
  const findings = [
    ...(context.alike
      ? []
      : ignored.unknown.map((name) => unknownName(NAME, 'ignore-tables', name, known()))),
    ...match.missing.filter((table) => !isIgnored(table.path)).map((table) => missingTable(NAME, table)),
  ];
  const pairs = match.pairs.filter((pair) => !isIgnored(pair.blue.path) && !isIgnored(pair.green.path));
  const total = pairs.reduce((sum, pair) => sum + pair.blue.estimatedRows, 0);
  let rows = 0n;
  const counted = await eachOf(pairs, context.blue.lanes, async (pair) => {
    const name = displayPath(pair.blue.path);
    context.progress(Number(rows), Math.max(total, Number(rows)), name);
    try {
      const counts = await readBoth(context, (side) => context[side].countRows(pair[side].path));
      rows += counts.blue;
      return counts.blue === counts.green ? undefined : different(name, counts.blue, counts.green);
    } catch (error) {
      return unread(NAME, name, error);
    }
  });
  findings.push(...counted.filter((finding) => finding !== undefined));
  context.progress(Number(rows), Number(rows));
  if (ignored.names.length > 0 || match.dropped.length > 0) {
    findings.push({
      check: NAME,
      severity: 'note',
      message: notCounted(
        ignored.names,
        match.dropped.map((t) => t.path),
      ),
    });
  }
  if (findings.some(({ severity }) => severity === 'failure' || severity === 'unknown')) return findings;
  const message = `${plural(rows, 'row')} in ${plural(pairs.length, 'table')} are the same number on both sides`;
  return [...findings, { check: NAME, severity: 'ok', message }];
}

function different(name: string, blue: bigint, green: bigint): Finding {
  const gap = green > blue ? `${formatCount(green - blue)} more` : `${formatCount(blue - green)} fewer`;
  return failure(
    NAME,
    `${name} has ${plural(blue, 'row')} on blue and ${formatCount(green)} on green, ${gap}`,
    {
      hint: `if the migrations are meant to change its rows: row-counts: { ignore-tables: ['${name.replaceAll("'", "''")}'] }; blue is untouched`,
    },
  );
}

function notCounted(ignored: readonly string[], dropped: readonly (readonly string[])[]): string {
  const parts = [
    ...ignored.map((name) => `${name} (ignored)`),
    ...dropped.map((path) => `${displayPath(path)} (expected to be dropped)`),
  ];
  return `not counted: ${parts.join(', ')}`;
}
