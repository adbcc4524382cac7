import type { Baseline, WriteReport } from '../../core/database/database.ts';
import type { Reader } from '../../core/database/catalog.ts';
import { displayPath, quotePath } from '../../util/sql.ts';
import { catalogFingerprint } from './catalog/catalog.ts';
import type { Connection } from './connection.ts';

/** Never a table's name, which would be in double quotes. */
const LARGE_OBJECTS = 'large objects';

/** Remembers where a closed database stands. Counts every row once. */
export async function readBaseline(connection: Connection, reader: Reader): Promise<Baseline> {
  const catalog = await reader.catalog();
  const rows: Record<string, string> = {};
  for (const table of catalog.tables)
    rows[displayPath(table.path)] = String(await reader.countRows(table.path));
  const [row] = await connection.query<{ xid: string }>(
    'select pg_snapshot_xmax(pg_current_snapshot())::text as xid',
  );
  // Nothing is newer than the present: these are all.
  rows[LARGE_OBJECTS] = String((await largeObjects(connection, row!.xid)).older);
  return { xid: row!.xid, rows, fingerprint: catalogFingerprint(catalog) };
}

/**
 * Tells by every row's `xmin` what was written since the baseline, exactly: a row that a later transaction inserted
 * or updated is newer; what is missing of the older rows was updated or deleted. Rolled-back writes do not count.
 * Holds for two thousand million transactions, after which PostgreSQL's row versions cannot be compared any more.
 */
export async function readWrites(
  connection: Connection,
  reader: Reader,
  baseline: Baseline,
): Promise<WriteReport> {
  const catalog = await reader.catalog();
  const tables: WriteReport['tables'][number][] = [];
  const seen = new Set<string>();
  const add = (name: string, { newer, older }: Ages): void => {
    seen.add(name);
    const lost = BigInt(baseline.rows[name] ?? '0') - older;
    if (newer > 0n || lost > 0n) tables.push({ table: name, newer, lost });
  };
  for (const table of catalog.tables) {
    const only = table.partitioned ? '' : 'ONLY ';
    add(displayPath(table.path), await countByAge(connection, only + quotePath(table.path), baseline.xid));
  }
  add(LARGE_OBJECTS, await largeObjects(connection, baseline.xid));
  for (const [name, rows] of Object.entries(baseline.rows)) {
    if (!seen.has(name) && rows !== '0') tables.push({ table: name, newer: 0n, lost: BigInt(rows) });
  }
  const schema =
    catalogFingerprint(catalog) === baseline.fingerprint ? [] : ['the schema was changed since the switch'];
  return { tables, schema };
}

interface Ages {
  readonly newer: bigint;
  readonly older: bigint;
}

/** By their pages, or for a role that may not read those by their owners: then only new and removed ones are seen. */
async function largeObjects(connection: Connection, xid: string): Promise<Ages> {
  const [row] = await connection.query<{ readable: boolean }>(
    `select has_table_privilege('pg_catalog.pg_largeobject', 'SELECT') as readable`,
  );
  const relation = row!.readable ? 'pg_largeobject' : 'pg_largeobject_metadata';
  return countByAge(connection, `pg_catalog.${relation}`, xid);
}

async function countByAge(connection: Connection, relation: string, xid: string): Promise<Ages> {
  const [row] = await connection.query<{ newer: string; older: string }>(
    `select count(*) filter (where newer)::text as newer, count(*) filter (where not newer)::text as older
     from (select age(xmin) <= age(($1::text::xid8)::xid) as newer from ${relation}) as rows`,
    [xid],
  );
  return { newer: BigInt(row!.newer), older: BigInt(row!.older) };
}
