import type { FollowedTable } from '../../../../core/database/live.ts';
import { meantBy, quoteIdentifier, quotePath } from '../../../../util/sql.ts';
import { notOfExtension, userSchema } from '../../catalog/sql.ts';
import type { Connection } from '../../connection.ts';

/** A table with rows of its own, as replication sees it; partitions one by one. */
export interface TableFacts {
  readonly path: readonly [string, string];
  /** Columns that replication carries: generated ones are computed anew. */
  readonly columns: readonly string[];
  /** Columns by which a row is found; empty when there is nothing. */
  readonly identity: readonly string[];
  /** The row as a whole is what it is found by. */
  readonly full: boolean;
  /** REPLICA IDENTITY NOTHING. */
  readonly nothing: boolean;
  /** Columns whose type has no equality, so that no row can be found by them. */
  readonly incomparable: readonly string[];
  readonly logged: boolean;
}

const TABLES = `
select n.nspname as schema, c.relname as name, c.relpersistence = 'p' as logged, c.relreplident = 'f' as full, c.relreplident = 'n' as nothing,
  array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and a.attgenerated = '' order by a.attnum) as columns,
  array(select a.attname::text from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
        where i.indrelid = c.oid and i.indisvalid and i.indimmediate
          and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end) as identity,
  array(select a.attname::text from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
          and coalesce(nullif(t.typbasetype, 0), t.oid) in
            ('json'::regtype, 'xml'::regtype, 'point'::regtype, 'line'::regtype, 'lseg'::regtype, 'path'::regtype, 'polygon'::regtype)
       ) as incomparable
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't' and ${userSchema('n')} and (${notOfExtension('pg_class', 'c.oid')}
  or exists (select from pg_extension x where c.oid = any (x.extconfig)))
order by n.nspname collate "C", c.relname collate "C"`;

export async function readTables(connection: Connection): Promise<TableFacts[]> {
  const rows = await connection.query<
    Omit<TableFacts, 'path'> & { schema: string; name: string } & Record<string, unknown>
  >(TABLES);
  return rows.map(({ schema, name, ...rest }) => ({ ...rest, path: [schema, name] }));
}

/** A table of a publication: `"public"."shops" ("id", "name")`. */
export const published = ({ path, columns }: FollowedTable): string =>
  quotePath(path) + (columns ? ` (${columns.map(quoteIdentifier).join(', ')})` : '');

const key = (path: readonly string[]): string => JSON.stringify(path);

/**
 * Tables that both have, with the columns that both have: what is only on one side is nothing to the other. Throws no
 * error: what replication cannot carry that way is for the preflight to say.
 */
export function inBoth(
  from: readonly TableFacts[],
  to: readonly TableFacts[],
  plan: readonly FollowedTable[],
): FollowedTable[] {
  const theirs = new Map(to.map((table) => [key(table.path), table]));
  const planned = new Set(plan.map(({ path }) => key(path)));
  return from.flatMap((table) => {
    const other = theirs.get(key(table.path));
    if (!other || !planned.has(key(table.path))) return [];
    const shared = table.columns.filter((column) => other.columns.includes(column));
    const columns = shared.length === table.columns.length ? undefined : shared;
    return [{ path: table.path, columns, identity: undefined }];
  });
}

/** Blue's tables without what the playbook says that the migrations drop: schemas, tables, columns. */
export function toFollow(
  tables: readonly TableFacts[],
  dropped: readonly string[],
  full: boolean,
): FollowedTable[] {
  const gone = new Set(dropped.flatMap(meantBy).map(key));
  return tables
    .filter(({ logged, path }) => logged && !gone.has(key(path)) && !gone.has(key(path.slice(0, 1))))
    .map((table) => {
      const kept = table.columns.filter((column) => !gone.has(key([...table.path, column])));
      return {
        path: table.path,
        columns: kept.length === table.columns.length ? undefined : kept,
        identity:
          full && table.identity.length === 0 && !table.full
            ? table.nothing
              ? ('nothing' as const)
              : ('default' as const)
            : undefined,
      };
    });
}
