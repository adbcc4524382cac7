import { z } from 'zod';
import type { Row } from '../core/database/catalog.ts';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import { messageOf } from '../core/errors.ts';
import { plural } from '../util/units.ts';
import { checkOptions } from './shared/manner.ts';
import { abortable, failure } from './shared/run.ts';

const NAME = 'sql';
const value = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const options = checkOptions({
  query: z.string().min(1).meta({ description: 'One statement; it runs in a read-only transaction.' }),
  equals: value.optional().meta({ description: 'The single value that the query must give.' }),
  rows: z
    .array(z.array(value))
    .optional()
    .meta({ description: 'The rows that the query must give, in this order.' }),
  'same-on-both': z.literal(true).optional().meta({ description: 'Both sides must give the same rows.' }),
  on: z.enum(['green', 'blue', 'both']).default('green'),
}).refine(
  (given) =>
    [given.equals, given.rows, given['same-on-both']].filter((one) => one !== undefined).length === 1,
  { error: 'needs exactly one of "equals", "rows" and "same-on-both: true"' },
);
type Options = z.infer<typeof options>;
type Value = z.infer<typeof value>;
type Side = 'blue' | 'green';
/** The server's text of a value. */
type Cell = string | null;
type Answer = { readonly rows: Cell[][] } | { readonly error: string };

/** Runs the team's own query. */
export const sql: Driver<Options, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'A query of your own gives what you expect',
  options,
  open: (options) => ({
    when: 'closed',
    compares: options['same-on-both'] === true,
    describe: () => [
      `${place(options)}, read only: ${oneLine(options.query)}`,
      `expects ${expectation(options)}`,
    ],
    run: (context) => run(context, options),
  }),
};

const sidesOf = (options: Options): Side[] =>
  options['same-on-both'] || options.on === 'both' ? ['blue', 'green'] : [options.on];
const place = (options: Options): string => `on ${sidesOf(options).join(' and ')}`;
const oneLine = (text: string): string => text.trim().replaceAll(/\s+/g, ' ');
const expectation = (options: Options): string =>
  options['same-on-both']
    ? 'the same rows on both sides'
    : options.rows
      ? plural(options.rows.length, 'row')
      : `the single value ${JSON.stringify(options.equals)}`;

async function run(context: CheckContext, options: Options): Promise<Finding[]> {
  const query = oneLine(options.query);
  const answers: { side: Side; answer: Answer }[] = [];
  for (const side of sidesOf(options)) {
    answers.push({ side, answer: await ask(context, side, options.query) });
  }
  const findings = answers.flatMap(({ side, answer }) => {
    if ('error' in answer)
      return [failure(NAME, `the query fails on ${side}: ${answer.error}`, { detail: query })];
    const wrong = options['same-on-both'] ? undefined : wrongIn(answer.rows, options);
    return wrong === undefined ? [] : [failure(NAME, `on ${side} ${wrong}`, { detail: query })];
  });
  if (findings.length > 0) return findings;
  if (options['same-on-both']) {
    const [blue, green] = answers.map(({ answer }) => comparable(answer, options.query));
    const wrong = blue && green && firstDifference(blue, green);
    if (wrong) return [failure(NAME, `both sides differ: ${wrong}`, { detail: query })];
  }
  const message = `${place(options)} the query gives ${expectation(options)}`;
  return [{ check: NAME, severity: 'ok', message, detail: query }];
}

async function ask(context: CheckContext, side: Side, query: string): Promise<Answer> {
  try {
    const rows = await abortable(context.signal, () => context[side].query(query));
    return { rows: rows.map((row: Row) => Object.values(row) as Cell[]) };
  } catch (error) {
    context.signal.throwIfAborted();
    return { error: messageOf(error) };
  }
}

/** Whether the server's text of a value is the value that the playbook says. */
function same(text: Cell, expected: Value | undefined): boolean {
  if (text === null || expected === null || expected === undefined) return text === expected;
  if (typeof expected === 'boolean') return text === (expected ? 't' : 'f') || text === String(expected);
  if (text === String(expected)) return true;
  // 9.9 in YAML is meant to be 9.90 of a numeric column.
  return typeof expected === 'number' && /^-?\d+\.\d+$/.test(text) && Number(text) === expected;
}

const show = (found: Cell): string => (found === null ? 'NULL' : JSON.stringify(found));

function wrongIn(rows: Cell[][], options: Options): string | undefined {
  if (!options.rows) {
    if (rows.length !== 1) return `the query gives ${plural(rows.length, 'row')} instead of one value`;
    if (rows[0]!.length !== 1)
      return `the query gives ${plural(rows[0]!.length, 'column')} instead of one value`;
    const found = rows[0]![0] ?? null;
    return same(found, options.equals)
      ? undefined
      : `the query gives ${show(found)} instead of ${JSON.stringify(options.equals)}`;
  }
  const expected = options.rows;
  if (rows.length !== expected.length) {
    return `the query gives ${plural(rows.length, 'row')} instead of ${expected.length}`;
  }
  const index = rows.findIndex(
    (row, at) => row.length !== expected[at]!.length || row.some((cell, c) => !same(cell, expected[at]![c])),
  );
  if (index < 0) return undefined;
  return `row ${index + 1} is (${rows[index]!.map(show).join(', ')}) instead of ${JSON.stringify(expected[index])}`;
}

/** Rows as text; without ORDER BY the server may give them in any order, so then they are sorted here. */
function comparable(answer: Answer, query: string): string[] {
  const rows = 'rows' in answer ? answer.rows.map((row) => `(${row.map(show).join(', ')})`) : [];
  return /\border\s+by\b/i.test(query) ? rows : rows.sort();
}

function firstDifference(blue: string[], green: string[]): string | undefined {
  if (blue.length !== green.length) return `${plural(blue.length, 'row')} on blue, ${green.length} on green`;
  const index = blue.findIndex((row, at) => row !== green[at]);
  return index < 0 ? undefined : `blue has ${blue[index]} where green has ${green[index]}`;
}
