import { z } from 'zod';
import type { Index } from '../core/database/catalog.ts';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import type { Side } from '../core/side.ts';
import { eachOf } from '../util/turns/lanes.ts';
import { displayPath } from '../util/sql.ts';
import { plural } from '../util/units.ts';
import { pacedOptions } from './shared/pace.ts';
import { keyOf } from './shared/names.ts';
import { abortable, failure, reading, unread } from './shared/run.ts';

const NAME = 'indexes';
const options = pacedOptions({});

/** Looks whether the indexes of green can be relied on. */
export const indexes: Driver<z.infer<typeof options>, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'The indexes on green are valid, unique where they say so, and hold what their tables hold',
  options,
  bare: true,
  open: () => ({
    when: 'closed',
    describe: () => [
      'looks for invalid indexes, and reads every table with a unique one for keys that are there twice',
      'where the extension amcheck is installed on green, holds every B-tree index against its table',
      'names tables without statistics',
    ],
    run,
  }),
};

async function run(context: CheckContext): Promise<Finding[]> {
  const { integrity, lanes } = context.green;
  try {
    const list = await ask(context, 'green', () => integrity.indexes());
    const unique = list.filter((index) => index.unique && index.valid);
    let done = 0;
    const doubled = await eachOf(unique, lanes, async (index) => {
      context.progress(done, unique.length, displayPath(index.path));
      try {
        return await doubledKeys(context, index);
      } catch (error) {
        return unread(NAME, displayPath(index.path), error);
      } finally {
        done += 1;
      }
    });
    const findings = [
      ...(await invalid(context, list)),
      ...doubled.filter((finding) => finding !== undefined),
      ...(await damagedOnes(context)),
      ...(await withoutStatistics(context)),
    ];
    if (findings.some(({ severity }) => severity === 'failure' || severity === 'unknown')) return findings;
    const message = `${plural(list.length, 'index', 'indexes')}: those that are to be unique are (${unique.length})`;
    return [...findings, { check: NAME, severity: 'ok', message }];
  } catch (error) {
    return [unread(NAME, 'indexes', error)];
  }
}

const ask = <T>(context: CheckContext, side: Side, work: () => Promise<T>): Promise<T> =>
  abortable(context.signal, () => reading(side, work));

async function invalid(context: CheckContext, list: readonly Index[]): Promise<Finding[]> {
  const broken = list.filter(({ valid }) => !valid);
  if (broken.length === 0) return [];
  const before = await ask(context, 'blue', () => context.blue.integrity.indexes());
  const known = new Set(before.flatMap(({ path, valid }) => (valid ? [] : [keyOf(path)])));
  return broken.map(({ path }): Finding => {
    const message = `index ${displayPath(path)} is invalid: nobody uses it, and it is maintained all the same`;
    if (known.has(keyOf(path)))
      return { check: NAME, severity: 'warning', message: `${message}, as on blue` };
    return failure(NAME, message, {
      hint: `CREATE INDEX CONCURRENTLY has failed? In a migration: REINDEX INDEX ${displayPath([path[0]!, path[2]!])}`,
    });
  });
}

async function doubledKeys(context: CheckContext, index: Index): Promise<Finding | undefined> {
  const count = await ask(context, 'green', () => context.green.integrity.duplicates(index));
  if (count === 0n) return undefined;
  const table = displayPath(index.path.slice(0, 2));
  return failure(
    NAME,
    `${plural(count, 'key')} of ${displayPath(index.path)} ${count === 1n ? 'is' : 'are'} in ${table} more than once, although it is unique`,
    {
      hint: 'the index is damaged: find the rows without it (SET enable_indexscan = off), mend them, and REINDEX',
    },
  );
}

async function damagedOnes(context: CheckContext): Promise<Finding[]> {
  const found = await ask(context, 'green', () =>
    context.green.integrity.damaged((done, total) => context.progress(done, total, 'amcheck')),
  );
  if (!found)
    return [
      {
        check: NAME,
        severity: 'note',
        message: 'indexes are not held against their tables: the extension amcheck is not installed on green',
      },
    ];
  return found.map(({ path, complaint }) =>
    failure(NAME, `index ${displayPath(path)} is damaged: ${complaint}`, {
      hint: `in a migration: REINDEX INDEX ${displayPath([path[0]!, path[2]!])}`,
    }),
  );
}

async function withoutStatistics(context: CheckContext): Promise<Finding[]> {
  const tables = await ask(context, 'green', () => context.green.integrity.unanalyzed());
  if (tables.length === 0) return [];
  const names = tables.slice(0, 10).map((path) => displayPath(path));
  const more = tables.length > names.length ? ` and ${tables.length - names.length} more` : '';
  return [
    {
      check: NAME,
      severity: 'warning',
      message: `the planner knows nothing of ${names.join(', ')}${more}`,
      hint: 'in the last migration: ANALYZE',
    },
  ];
}
