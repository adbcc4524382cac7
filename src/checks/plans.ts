import { z } from 'zod';
import type { Path } from '../core/database/catalog.ts';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import { displayPath } from '../util/sql.ts';
import { formatCount, plural } from '../util/units.ts';
import { checkOptions } from './shared/manner.ts';
import { keyOf } from './shared/names.ts';
import { readPlan, type PlanFacts } from './shared/plan-tree.ts';
import { readRenames } from './shared/renames.ts';
import { abortable, failure, reading, unread, UnreadError } from './shared/run.ts';

const NAME = 'plans';
const options = checkOptions({
  queries: z.array(z.string().min(1)).default([]).meta({
    description: 'Statements, with values in place of parameters; they are explained and not executed.',
  }),
  heaviest: z
    .int()
    .min(0)
    .max(1000)
    .default(20)
    .meta({ description: 'How many of the statements that take most time on blue are explained, too.' }),
  rows: z.int().min(0).default(10_000).meta({ description: 'Rows from which on a table is a large one.' }),
  times: z.number().min(1).default(10).meta({ description: 'How many times as costly a plan may become.' }),
});
type Options = z.infer<typeof options>;

/** Explains statements on both sides: one that no longer works, and one that became much more costly, is found. */
export const plans: Driver<Options, CheckOpenContext, Check> = {
  name: NAME,
  summary: "The application's statements work on green, and their plans are no worse",
  options,
  bare: true,
  open: (options) => ({
    when: 'closed',
    describe: () => [
      `explains ${[
        ...(options.queries.length > 0 ? [plural(options.queries.length, 'statement')] : []),
        ...(options.heaviest > 0 ? [`blue's ${options.heaviest} heaviest of pg_stat_statements`] : []),
      ].join(' and ')} on both sides; executes none`,
      `warns of a large table (${formatCount(options.rows)} rows) that is read whole, and of a plan ${options.times} times as costly`,
    ],
    run: (context) => run(context, options),
  }),
};

interface Statement {
  readonly sql: string;
  /** With `$1` in it. */
  readonly generic: boolean;
}

async function run(context: CheckContext, options: Options): Promise<Finding[]> {
  const findings: Finding[] = [];
  const statements: Statement[] = options.queries.map((sql) => ({ sql, generic: false }));
  if (options.heaviest > 0) {
    try {
      const heaviest = await abortable(context.signal, () =>
        reading('blue', () => context.blue.heaviest(options.heaviest)),
      );
      if (heaviest) statements.push(...heaviest.map((sql) => ({ sql, generic: /\$\d/.test(sql) })));
      else
        findings.push({
          check: NAME,
          severity: 'note',
          message: "blue's heaviest statements are not known: pg_stat_statements is not installed there",
        });
    } catch (error) {
      findings.push(unread(NAME, 'pg_stat_statements', error));
    }
  }
  for (const [index, statement] of statements.entries()) {
    context.progress(index, statements.length, oneLine(statement.sql));
    findings.push(...(await compare(context, statement, options)));
  }
  if (findings.some(({ severity }) => severity === 'failure' || severity === 'unknown')) return findings;
  const message = `${plural(statements.length, 'statement')} can be planned on both sides`;
  return [...findings, { check: NAME, severity: 'ok', message }];
}

/** Or the server's complaint. */
type Answer = PlanFacts | UnreadError;

async function explain(
  context: CheckContext,
  side: 'blue' | 'green',
  { sql, generic }: Statement,
): Promise<Answer> {
  try {
    return readPlan(
      await abortable(context.signal, () => reading(side, () => context[side].explain(sql, { generic }))),
    );
  } catch (error) {
    if (error instanceof UnreadError) return error;
    throw error;
  }
}

async function compare(context: CheckContext, statement: Statement, options: Options): Promise<Finding[]> {
  const [blue, green] = [
    await explain(context, 'blue', statement),
    await explain(context, 'green', statement),
  ];
  const detail = `  ${oneLine(statement.sql)}`;
  if (blue instanceof UnreadError) {
    // What the extension has kept may be older than blue itself, or be cut off.
    const severity = statement.generic ? 'note' : 'unknown';
    return [{ check: NAME, severity, message: `a statement cannot be planned ${blue.message}`, detail }];
  }
  if (green instanceof UnreadError)
    return [
      failure(NAME, `a statement that works on blue does not ${green.message}`, {
        detail,
        hint: 'the application must be ready for what the migrations change, before and after the switch',
      }),
    ];
  return worse(context, { blue, green }, options).map((message) => ({
    check: NAME,
    severity: 'warning',
    message,
    detail,
  }));
}

function worse(
  { catalogs, expect }: CheckContext,
  { blue, green }: Readonly<Record<'blue' | 'green', PlanFacts>>,
  { rows, times }: Options,
): string[] {
  const renames = readRenames(expect);
  const before = new Set(blue.sequential.map((path) => keyOf(renames.path(path))));
  const sizes = new Map(catalogs.green.tables.map(({ path, estimatedRows }) => [keyOf(path), estimatedRows]));
  const read = green.sequential.filter(
    (path: Path) => !before.has(keyOf(path)) && (sizes.get(keyOf(path)) ?? 0) >= rows,
  );
  const lost = blue.indexes.filter((index) => !green.indexes.includes(index));
  const used = lost.length > 0 ? `; on blue it uses ${lost.join(', ')}` : '';
  if (read.length > 0)
    return [`${read.map((path) => displayPath(path)).join(', ')} is read whole on green${used}`];
  if (green.cost <= blue.cost * times) return [];
  return [
    `a plan became ${Math.round(green.cost / Math.max(blue.cost, 0.01))} times as costly on green${used}`,
  ];
}

const oneLine = (sql: string): string => {
  const line = sql.trim().replaceAll(/\s+/g, ' ');
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
};
