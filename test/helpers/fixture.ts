import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { root } from './cli.ts';
import type { TestServer } from './postgres.ts';

export const fixtureFolder = (name: string): string => join(root, 'fixtures', name);

interface Fixture {
  readonly load: readonly string[];
  readonly rows: Readonly<Record<string, number>>;
}

export const readFixture = async (name: string): Promise<Fixture> =>
  parse(await readFile(join(fixtureFolder(name), 'fixture.yml'), 'utf8')) as Fixture;

/** Loads a fixture into a database that is there and empty. */
export async function loadFixture(server: TestServer, database: string, name: string): Promise<void> {
  const { load } = await readFixture(name);
  const client = await server.connect(database);
  for (const file of load) await client.query(await readFile(join(fixtureFolder(name), file), 'utf8'));
  await client.end();
}

/** A new database with a fixture in it. */
export async function fixtureDatabase(server: TestServer, name: string, prefix = 'shop'): Promise<string> {
  const database = await server.database(prefix);
  await loadFixture(server, database, name);
  return database;
}
