import type { Registry } from '../core/drivers/driver.ts';
import type { Target, TargetContext } from '../core/drivers/target.ts';
import { databaseRename } from './database-rename.ts';
import { envFile } from './env-file.ts';
import { pgbouncer } from './pgbouncer.ts';

/** Everything that decides where clients go, by its name in the playbook. */
export const targets: Registry<TargetContext, Target> = {
  'database-rename': databaseRename,
  'env-file': envFile,
  pgbouncer,
};
