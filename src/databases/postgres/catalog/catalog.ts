import { createHash } from 'node:crypto';
import type { Catalog, CatalogObject, Column, Table } from '../../../core/database/catalog.ts';
import * as others from './others.ts';
import * as parts from './parts.ts';
import { publications } from './publications.ts';
import * as relations from './relations.ts';

/** Runs one statement and gives its rows with values as the server's text. */
export type Ask = (sql: string) => Promise<Record<string, string | null>[]>;

const { dataTables, ...relationQueries } = relations;

/** A handful of queries over whole system catalogues: the number of round trips does not depend on the schema's size. */
const queries: readonly string[] = [
  ...Object.values(relationQueries),
  ...Object.values(parts),
  ...Object.values(others),
];

/**
 * Reads all of the user's objects. The definitions hold no object ids and, because the session's search path is
 * empty, only qualified names: equal text means equal object, on every server.
 */
export async function readCatalog(ask: Ask): Promise<Catalog> {
  const objects: CatalogObject[] = [];
  const [server] = await ask(`select current_setting('server_version_num')::int / 10000 as major`);
  for (const sql of [...queries, publications(Number(server!['major']))]) {
    for (const row of await ask(sql)) {
      objects.push({
        kind: row['kind']!,
        path: JSON.parse(row['path']!),
        definition: row['definition'] ?? '',
      });
    }
  }
  const tables = (await ask(dataTables)).map((row): Table => ({
    path: JSON.parse(row['path']!) as [string, string],
    columns: JSON.parse(row['columns']!) as Column[],
    estimatedRows: Number(row['estimated']),
    bytes: Number(row['bytes']),
    partitioned: row['partitioned'] === 't',
    key: JSON.parse(row['key']!) as string[],
  }));
  return {
    objects: sorted(objects, (object) => [object.kind, ...object.path]),
    tables: sorted(tables, (table) => table.path),
  };
}

/** Sorts by code units, which do not depend on a locale. NUL cannot be in a name, so it keeps parts apart. */
function sorted<T>(entries: readonly T[], key: (entry: T) => readonly string[]): T[] {
  return entries
    .map((entry) => ({ entry, key: key(entry).join('\0') }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ entry }) => entry);
}

/** SHA-256 over all objects: two databases with one fingerprint have the same schema. Rows do not count. */
export function catalogFingerprint(catalog: Catalog): string {
  const hash = createHash('sha256');
  for (const { kind, path, definition } of catalog.objects) {
    hash.update(JSON.stringify([kind, path, definition])).update('\n');
  }
  return hash.digest('hex');
}

/** Enough to tell a changed object from one that is the same. */
const HASH_DIGITS = 16;

/** A hash of each object by its kind and name, to tell which of them differ; the fingerprint says whether any does. */
export const objectHashes = ({ objects }: Catalog): Record<string, string> =>
  Object.fromEntries(
    objects.map(({ kind, path, definition }) => [
      `${kind} ${path.join('.')}`,
      createHash('sha256').update(definition).digest('hex').slice(0, HASH_DIGITS),
    ]),
  );
