import { z } from 'zod';
import type { Driver } from '../core/drivers/driver.ts';
import type { Migrator, MigratorContext } from '../core/drivers/migrator.ts';
import { duration, path } from '../util/options.ts';
import { sqlMigrator } from './sql/migrator.ts';
import { versionTable } from './sql/version-table.ts';

const options = z.strictObject({
  directory: path().describe('Folder with the migrations, such as V001__add_tiers.sql.'),
  table: z
    .string()
    .refine((text) => versionTable(text) !== undefined, {
      error: 'must be the name of a table, such as public.cutover_migrations',
    })
    .default('public.cutover_migrations')
    .describe('Table that holds which versions are applied.'),
  'lock-wait': duration()
    .prefault('10s')
    .describe('How long to wait for another migration of the same table.'),
  'statement-timeout': duration()
    .optional()
    .describe('Longest time for one statement; the database decides otherwise.'),
  'lock-timeout': duration()
    .optional()
    .describe('Longest wait for a lock on a table; the database decides otherwise.'),
});

/** Versioned SQL files of the tool's own, each in a transaction, with the way back beside it. */
export const sql: Driver<z.infer<typeof options>, MigratorContext, Migrator> = {
  name: 'sql',
  summary: 'Versioned SQL files, each in one transaction, with the way back in a file beside it.',
  options,
  paths: ['directory'],
  open: (given) =>
    sqlMigrator({
      directory: given.directory,
      table: versionTable(given.table)!,
      lockWait: given['lock-wait'],
      settings: { statementTimeout: given['statement-timeout'], lockTimeout: given['lock-timeout'] },
    }),
};
