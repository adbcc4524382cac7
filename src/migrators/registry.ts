import type { Registry } from '../core/drivers/driver.ts';
import type { Migrator, MigratorContext } from '../core/drivers/migrator.ts';
import { command } from './command.ts';
import { sql } from './sql.ts';

export const migrators: Registry<MigratorContext, Migrator> = { sql, command };
