import type { Registry } from '../core/driver.ts';
import type { Migrator, MigratorContext } from '../core/migrator.ts';
import { command } from './command.ts';
import { sql } from './sql.ts';

export const migrators: Registry<MigratorContext, Migrator> = { sql, command };
