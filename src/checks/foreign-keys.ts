import { z } from 'zod';
import type { ForeignKey } from '../core/database/catalog.ts';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import type { Side } from '../core/side.ts';
import { eachOf } from '../util/turns/lanes.ts';
import { displayPath } from '../util/sql.ts';
import { plural } from '../util/units.ts';
import { pacedOptions } from './shared/pace.ts';
import { keyOf } from './shared/names.ts';
import { abortable, failure, reading, unread } from './shared/run.ts';

const NAME = 'foreign-keys';
const options = pacedOptions({});

/** Looks for rows without a parent: triggers that are off let them in, and so does a key that is not validated. */
export const foreignKeys: Driver<z.infer<typeof options>, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'No row on green points at a row that is missing',
  options,
  bare: true,
  open: () => ({
    when: 'closed',
    describe: () => [
      'for every foreign key of green, also one that is NOT VALID: looks for rows without a parent',
    ],
    run,
  }),
};

async function run(context: CheckContext): Promise<Finding[]> {
  let keys: ForeignKey[];
  try {
    keys = await ask(context, 'green', () => context.green.integrity.foreignKeys());
  } catch (error) {
    return [unread(NAME, 'foreign keys', error)];
  }
  let done = 0;
  const looked = await eachOf(keys, context.green.lanes, async (key) => {
    context.progress(done, keys.length, nameOf(key));
    try {
      return await look(context, key);
    } catch (error) {
      return unread(NAME, nameOf(key), error);
    } finally {
      done += 1;
    }
  });
  const findings = looked.filter((finding) => finding !== undefined);
  if (findings.some(({ severity }) => severity !== 'warning')) return findings;
  const message =
    keys.length === 0
      ? 'green has no foreign keys'
      : `${plural(keys.length, 'foreign key')} looked at: ${findings.length === 0 ? 'no row is without its parent' : 'no row is without its parent that blue would not lack as well'}`;
  return [...findings, { check: NAME, severity: 'ok', message }];
}

const nameOf = ({ table, name }: ForeignKey): string => displayPath([...table, name]);

const ask = <T>(context: CheckContext, side: Side, work: () => Promise<T>): Promise<T> =>
  abortable(context.signal, () => reading(side, work));

async function look(context: CheckContext, key: ForeignKey): Promise<Finding | undefined> {
  const count = await ask(context, 'green', () => context.green.integrity.orphans(key));
  if (count === 0n) return undefined;
  const message = `${plural(count, 'row')} of ${displayPath(key.table)} without a parent in ${displayPath(key.references)} (${key.name})`;
  const before = await onBlue(context, key);
  if (before !== undefined && before >= count)
    return { check: NAME, severity: 'warning', message: `${message}, as on blue` };
  return failure(NAME, message, {
    hint: `mend the migrations; ${before === undefined ? 'blue has no such key' : `on blue there are ${before}`}, and blue is untouched`,
  });
}

/** The same key on blue, if it is there under the same names. */
async function onBlue(context: CheckContext, key: ForeignKey): Promise<bigint | undefined> {
  const keys = await ask(context, 'blue', () => context.blue.integrity.foreignKeys());
  const same = keys.find(({ table, name }) => keyOf([...table, name]) === keyOf([...key.table, key.name]));
  return same && ask(context, 'blue', () => context.blue.integrity.orphans(same));
}
