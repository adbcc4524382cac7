import type { Check, CheckOpenContext } from '../core/check.ts';
import type { Registry } from '../core/driver.ts';
import { checksums } from './checksums.ts';
import { command } from './command.ts';
import { foreignKeys } from './foreign-keys.ts';
import { indexes } from './indexes.ts';
import { rowCounts } from './row-counts.ts';
import { schema } from './schema.ts';
import { sequences } from './sequences.ts';
import { sql } from './sql.ts';

export const checks: Registry<CheckOpenContext, Check> = {
  schema,
  'row-counts': rowCounts,
  checksums,
  sequences,
  'foreign-keys': foreignKeys,
  indexes,
  sql,
  command,
};
