import { quoteIdentifier, quotePath } from '../../../../util/sql.ts';
import { userSchema } from '../../catalog/sql.ts';
import type { Connection } from '../../connection.ts';
import { FENCE_FUNCTION, FENCE_TRIGGER, FENCE_TRUNCATE, OWN_SCHEMA } from './names.ts';
import { inOne } from './publication.ts';

/** Tables a transaction: each takes a lock, and a server has room for some thousands. */
const CHUNK = 200;

const FUNCTION = `CREATE OR REPLACE FUNCTION ${FENCE_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $fence$
begin
  raise exception 'database % is fenced by cutover: another one is live', current_database()
    using errcode = '25006', hint = 'Connect to the live database; see: cutover status';
end $fence$`;

const TABLES = `
select n.nspname as schema, c.relname as name, exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = '${FENCE_TRIGGER}') as fenced
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relpersistence <> 't' and ${userSchema('n')}
order by n.nspname collate "C", c.relname collate "C"`;

async function tables(connection: Connection, fenced: boolean): Promise<string[]> {
  const rows = await connection.query<{ schema: string; name: string; fenced: boolean }>(TABLES);
  return rows.filter((row) => row.fenced === fenced).map(({ schema, name }) => quotePath([schema, name]));
}

/**
 * Refuses writes to every table, whoever makes them, superusers included: a trigger that fires for everybody but the
 * apply worker, whose session is in the role of a replica. Repeatable.
 */
export async function fenceTables(connection: Connection): Promise<void> {
  await inOne(connection, [`CREATE SCHEMA IF NOT EXISTS ${OWN_SCHEMA}`, FUNCTION]);
  await inChunks(connection, await tables(connection, false), (table) => [
    `CREATE TRIGGER ${FENCE_TRIGGER} BEFORE INSERT OR UPDATE OR DELETE ON ${table} EXECUTE FUNCTION ${FENCE_FUNCTION}()`,
    `CREATE TRIGGER ${FENCE_TRUNCATE} BEFORE TRUNCATE ON ${table} EXECUTE FUNCTION ${FENCE_FUNCTION}()`,
  ]);
}

/** Takes the triggers away; repeatable. */
export async function unfenceTables(connection: Connection): Promise<void> {
  await inChunks(connection, await tables(connection, true), (table) => [
    `DROP TRIGGER IF EXISTS ${FENCE_TRIGGER} ON ${table}`,
    `DROP TRIGGER IF EXISTS ${FENCE_TRUNCATE} ON ${table}`,
  ]);
}

async function inChunks(
  connection: Connection,
  list: readonly string[],
  statements: (table: string) => string[],
): Promise<void> {
  for (let start = 0; start < list.length; start += CHUNK)
    await inOne(connection, list.slice(start, start + CHUNK).flatMap(statements));
}

/** Only superusers get in, and apply workers; the limit is the one that the fence's triggers stand behind. */
export const limitStatement = (database: string, connections: number): string =>
  `ALTER DATABASE ${quoteIdentifier(database)} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT ${connections}`;
