import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { stringify } from 'yaml';
import type { SequenceState } from '../../core/database/catalog.ts';
import { FIXTURE_FILE } from '../../databases/postgres/fixture/describe.ts';
import { quoteLiteral, quotePath } from '../../util/sql.ts';
import { nameOf, storedColumns, type SourceTable } from './model.ts';
import { scriptOf, type Schema } from './schema.ts';
import type { ProofStage } from './stage.ts';

/** What goes into the folder, besides the rows. */
export interface Parts {
  readonly schema: Schema;
  /** Statements that come last: positions of sequences, materialized views. */
  readonly finish: readonly string[];
  /** With their rows on the stage. */
  readonly tables: readonly { readonly table: SourceTable; readonly taken: number }[];
  /** Of fixture.yml. */
  readonly database: string;
  readonly description: string;
  readonly seed: number;
  readonly masked: readonly string[];
}

/** Brings a sequence to where it stands. */
export const positionOf = ({ path, lastValue, isCalled }: SequenceState): string =>
  `SELECT pg_catalog.setval(${quoteLiteral(quotePath(path))}, ${lastValue}, ${isCalled})`;

/** Writes a fixture into a folder that is there. */
export async function writeFixture(folder: string, stage: ProofStage, parts: Parts): Promise<void> {
  const { schema, finish, tables } = parts;
  await writeFile(join(folder, 'schema.sql'), scriptOf(schema.before));
  await writeFile(join(folder, 'constraints.sql'), scriptOf(schema.after));
  await writeFile(join(folder, 'finish.sql'), scriptOf(finish));
  await mkdir(join(folder, 'rows'));
  const rows: { csv: string; into: string; columns: string[] }[] = [];
  for (const { table, taken } of tables) {
    if (taken === 0) continue;
    const columns = storedColumns(table).map(({ name }) => name);
    const csv = `rows/${String(rows.length + 1).padStart(3, '0')}-${fileName(table)}.csv`;
    await pipeline(stage.csv(table, columns), createWriteStream(join(folder, csv)));
    rows.push({ csv, into: nameOf(table), columns });
  }
  const { database, description, seed, masked } = parts;
  const load = ['schema.sql', ...rows, 'constraints.sql', 'finish.sql'];
  await writeFile(
    join(folder, FIXTURE_FILE),
    stringify({ database, description, seed, load, masked }, { lineWidth: 0 }),
  );
}

/** The number in front of it makes it the only one. */
const fileName = ({ path }: SourceTable): string =>
  path[1]
    .replaceAll(/[^A-Za-z0-9._-]+/g, '_')
    .replaceAll(/^[._]+|_+$/g, '')
    .slice(0, 40) || 'table';
