import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf, StepError } from '../../../core/errors.ts';
import type { Connection } from '../connection.ts';

const description = z.object({
  database: z.string().optional(),
  load: z.array(z.string()),
  scale: z.number().positive().default(1),
  seed: z.int().default(1),
  writes: z.array(z.string()).default([]),
});

/** What `fixture.json` in a folder says. */
export interface Fixture {
  readonly folder: string;
  readonly database: string;
  /** SQL files, in order. */
  readonly load: readonly string[];
  /** What generators in the files multiply by. */
  readonly scale: number;
  readonly seed: number;
  /** SQL statements of the application's, each a transaction, for clients of a rehearsal. */
  readonly writes: readonly string[];
}

export async function readFixture(folder: string): Promise<Fixture> {
  const where = join(folder, 'fixture.json');
  try {
    const parsed = description.parse(JSON.parse(await readFile(where, 'utf8')));
    return { ...parsed, folder, database: parsed.database ?? 'blue' };
  } catch (cause) {
    throw new StepError(`the fixture cannot be read: ${messageOf(cause)}`, { where, cause });
  }
}

/**
 * Runs a fixture's files on an empty database. They find `cutover.scale` in current_setting, and random() begins at the
 * seed with every file: the same scale and seed give the same rows.
 */
export async function loadFixture(
  connection: Connection,
  folder: string,
  given: Partial<Pick<Fixture, 'scale' | 'seed'>> = {},
): Promise<void> {
  const fixture = { ...(await readFixture(folder)), ...given };
  await connection.query(`select set_config('cutover.scale', $1, false)`, [String(fixture.scale)]);
  for (const file of fixture.load) {
    const path = join(folder, file);
    try {
      await connection.query('select setseed($1::float8 / 2147483648)', [fixture.seed % 2_147_483_648]);
      await connection.query(await readFile(path, 'utf8'), undefined, { long: true });
    } catch (cause) {
      throw new StepError(`the fixture cannot be loaded: ${messageOf(cause)}`, { where: path, cause });
    }
  }
  await connection.query('ANALYZE', undefined, { long: true });
}
