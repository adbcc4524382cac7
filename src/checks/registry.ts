import type { Check, CheckOpenContext } from '../core/drivers/check.ts';
import type { Registry } from '../core/drivers/driver.ts';
import { activity } from './activity.ts';
import { checksums } from './checksums.ts';
import { command } from './command.ts';
import { foreignKeys } from './foreign-keys.ts';
import { http } from './http.ts';
import { indexes } from './indexes.ts';
import { lag } from './lag.ts';
import { mannered } from './shared/manner.ts';
import { paced } from './shared/pace.ts';
import { plans } from './plans.ts';
import { rowCounts } from './row-counts.ts';
import { schema } from './schema.ts';
import { sequences } from './sequences.ts';
import { statements } from './statements.ts';
import { sql } from './sql.ts';

export const checks: Registry<CheckOpenContext, Check> = {
  schema: mannered(schema),
  'row-counts': mannered(paced(rowCounts)),
  checksums: mannered(paced(checksums)),
  sequences: mannered(sequences),
  'foreign-keys': mannered(paced(foreignKeys)),
  indexes: mannered(paced(indexes)),
  plans: mannered(plans),
  sql: mannered(sql),
  command: mannered(command),
  http: mannered(http),
};

/** What can be asked of green while clients are on it. */
export const bakeChecks: Registry<CheckOpenContext, Check> = {
  activity: mannered(activity),
  lag: mannered(lag),
  statements: mannered(statements),
  sql: mannered(sql),
  command: mannered(command),
  http: mannered(http),
};
