import type { Connection } from '../../databases/postgres/connection.ts';
import { notOfExtension, userSchema } from '../../databases/postgres/catalog/sql.ts';
import { displayPath, quotePath } from '../../util/sql.ts';

export interface SourceColumn {
  readonly name: string;
  /** As declared, and without domain and length. */
  readonly type: string;
  readonly base: string;
  /** The server's own name for the base: `varchar`, `int4`; of an array or an enum `other`. */
  readonly kind: string;
  /** Characters at most; null where there is no limit. */
  readonly limit: number | null;
  readonly nullable: boolean;
  readonly generated: boolean;
}

export interface SourceTable {
  readonly oid: string;
  readonly path: readonly [schema: string, name: string];
  /** A partitioned table, which holds no rows of its own. */
  readonly partitioned: boolean;
  readonly parents: readonly string[];
  readonly partition: boolean;
  /** The planner's idea of its rows; negative when it has none. */
  readonly estimated: number;
  readonly columns: readonly SourceColumn[];
  /** Columns of the primary key; empty when there is none. */
  readonly key: readonly string[];
}

/** One column of a foreign key. */
export interface KeyPair {
  readonly child: string;
  readonly parent: string;
  /** Of the child's column, without domain and length. */
  readonly type: string;
  /** Operators, as SQL: parent = child, and child = child. */
  readonly equal: string;
  readonly same: string;
}

export interface ForeignKey {
  readonly name: string;
  readonly child: string;
  readonly parent: string;
  readonly pairs: readonly KeyPair[];
  /** Over a period of time: several rows may be the parent together. */
  readonly period: boolean;
}

/** A database as far as a sample of its rows is concerned. */
export interface Model {
  /** By their oids, in the order of their names. */
  readonly tables: ReadonlyMap<string, SourceTable>;
  readonly foreignKeys: readonly ForeignKey[];
  readonly extensions: readonly string[];
  /** Roles that policies name. */
  readonly roles: readonly string[];
  readonly foreignTables: readonly (readonly [schema: string, name: string])[];
  readonly largeObjects: number;
}

const USER = `${userSchema('n')} and ${notOfExtension('pg_class', 'c.oid')} and c.relpersistence <> 't'`;

const TABLES = `
with recursive resolved as (
  select t.oid, t.oid as at, -1 as typmod, false as strict from pg_type t
  union all
  select r.oid, t.typbasetype, case when t.typtypmod <> -1 then t.typtypmod else r.typmod end, r.strict or t.typnotnull
  from resolved r join pg_type t on t.oid = r.at where t.typtype = 'd'
), columns as (
  select a.attrelid, json_agg(json_build_object(
    'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'base', format_type(b.oid, -1),
    'kind', case when b.typtype = 'b' and b.typcategory <> 'A' then b.typname else 'other' end,
    'limit', case when b.typname in ('varchar', 'bpchar') and m.typmod > 4 then m.typmod - 4
      when b.typname = 'name' then 63 end,
    'nullable', not a.attnotnull and not r.strict,
    'generated', a.attgenerated <> '') order by a.attnum) as list
  from pg_attribute a join resolved r on r.oid = a.atttypid join pg_type b on b.oid = r.at and b.typtype <> 'd'
  cross join lateral (select case when a.atttypmod <> -1 then a.atttypmod else r.typmod end as typmod) m
  where a.attnum > 0 and not a.attisdropped group by a.attrelid
)
select c.oid::text, json_build_array(n.nspname, c.relname) as path, c.relkind = 'p' as partitioned,
  c.relispartition as partition, c.reltuples::float8 as estimated, coalesce(k.list, '[]') as columns,
  coalesce((select json_agg(i.inhparent::text order by i.inhseqno) from pg_inherits i where i.inhrelid = c.oid), '[]') as parents,
  coalesce((select json_agg(a.attname order by u.at) from pg_constraint p, unnest(p.conkey) with ordinality u(num, at)
    join pg_attribute a on a.attnum = u.num where p.conrelid = c.oid and p.contype = 'p' and a.attrelid = c.oid), '[]') as key
from pg_class c join pg_namespace n on n.oid = c.relnamespace left join columns k on k.attrelid = c.oid
where c.relkind in ('r', 'p') and ${USER}
order by n.nspname collate "C", c.relname collate "C"`;

const operator = (oid: string): string =>
  `(select format('OPERATOR(%I.%s)', on1.nspname, o.oprname) from pg_operator o
    join pg_namespace on1 on on1.oid = o.oprnamespace where o.oid = ${oid})`;

const FOREIGN_KEYS = `
select f.conname as name, f.conrelid::text as child, f.confrelid::text as parent,
  coalesce((to_jsonb(f) ->> 'conperiod')::bool, false) as period,
  (select json_agg(json_build_object('child', ca.attname, 'parent', pa.attname, 'type', format_type(t.base, -1),
      'equal', ${operator('u.pf')}, 'same', ${operator('u.ff')}) order by u.at)
    from unnest(f.conkey, f.confkey, f.conpfeqop, f.conffeqop) with ordinality u(ck, pk, pf, ff, at)
    join pg_attribute ca on ca.attrelid = f.conrelid and ca.attnum = u.ck
    join pg_attribute pa on pa.attrelid = f.confrelid and pa.attnum = u.pk
    cross join lateral (
      with recursive base as (
        select ca.atttypid as oid union all
        select d.typbasetype from base b join pg_type d on d.oid = b.oid and d.typtype = 'd')
      select b.oid as base from base b join pg_type d on d.oid = b.oid and d.typtype <> 'd') t) as pairs
from pg_constraint f join pg_class c on c.oid = f.conrelid join pg_namespace n on n.oid = c.relnamespace
where f.contype = 'f' and f.conparentid = 0
order by n.nspname collate "C", c.relname collate "C", f.conname collate "C"`;

const FOREIGN_TABLES = `
select json_build_array(n.nspname, c.relname) as path from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'f' and ${USER} order by n.nspname collate "C", c.relname collate "C"`;

const NAMES = `
select coalesce((select json_agg(extname order by extname collate "C") from pg_extension where extname <> 'plpgsql'), '[]') as extensions,
  coalesce((select json_agg(r.rolname order by r.rolname collate "C") from pg_roles r
    where r.rolname !~ '^pg_' and exists (select from pg_policy p where r.oid = any (p.polroles))), '[]') as roles,
  (select count(*)::int from pg_largeobject_metadata) as objects`;

/** Asks the catalogue, in sessions with an empty search_path. */
export async function readModel(connection: Connection): Promise<Model> {
  const ask = <Row>(sql: string): Promise<Row[]> =>
    connection.query(sql, undefined, { long: true }) as Promise<Row[]>;
  const list = await ask<SourceTable>(TABLES);
  const tables = new Map(list.map((table) => [table.oid, table]));
  const keys = await ask<ForeignKey>(FOREIGN_KEYS);
  const foreign = await ask<{ path: readonly [string, string] }>(FOREIGN_TABLES);
  const [names] = await ask<{ extensions: string[]; roles: string[]; objects: number }>(NAMES);
  return {
    tables,
    foreignKeys: keys.filter(({ child, parent }) => tables.has(child) && tables.has(parent)),
    extensions: names!.extensions,
    roles: names!.roles,
    foreignTables: foreign.map(({ path }) => path),
    largeObjects: names!.objects,
  };
}

/** Those that hold rows of their own. */
export const holders = ({ tables }: Model): SourceTable[] =>
  [...tables.values()].filter(({ partitioned }) => !partitioned);

/** What rows of a table are put into: of a partition the root, which finds the partition for them. */
export function rootOf(model: Model, table: SourceTable): SourceTable {
  const parent = table.partition ? model.tables.get(table.parents[0]!) : undefined;
  return parent ? rootOf(model, parent) : table;
}

/** What follows FROM: rows of inheritance children are their own tables' rows. */
export const fromOf = ({ partitioned, path }: SourceTable): string =>
  `${partitioned ? '' : 'ONLY '}${quotePath(path)}`;

/** Generated columns make themselves. */
export const storedColumns = ({ columns }: SourceTable): SourceColumn[] =>
  columns.filter(({ generated }) => !generated);

export const nameOf = ({ path }: Pick<SourceTable, 'path'>): string => displayPath(path);
