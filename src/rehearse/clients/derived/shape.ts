import type { Client } from 'pg';
import { notOfExtension, userSchema } from '../../../databases/postgres/catalog/sql.ts';
import { OWN_SCHEMA } from '../../../databases/postgres/live/objects/names.ts';
import { LEDGER_SCHEMA } from '../ledger.ts';

export type Path = readonly [schema: string, name: string];

export interface Column {
  readonly name: string;
  /** As declared, for people. */
  readonly type: string;
  /** For casts: without length. */
  readonly cast: Path;
  readonly required: boolean;
  readonly generated: boolean;
  readonly identity: boolean;
  /** Its default gives a value that nobody has: of a sequence, or a uuid. */
  readonly fresh: boolean;
  readonly sequence: Path | null;
  /** A key, a constraint, an index with a condition, a partition or a generated column depends on it. */
  readonly bound: boolean;
  /** Of all rows no two have the same value, as far as ANALYZE saw, and it is no time. */
  readonly distinct: boolean;
}

/** A table of the application's with everything on which its statements depend; a partition is part of its root. */
export interface Shape {
  readonly path: Path;
  readonly partitioned: boolean;
  readonly columns: readonly Column[];
  /** Columns of the primary key, or of the index that is the replica identity; empty when there is neither. */
  readonly key: readonly string[];
  /** Columns of every unique index; null stands for an expression. */
  readonly uniques: readonly (readonly (string | null)[])[];
  readonly exclusive: boolean;
  /** As SQL, in a fixed order. */
  readonly constraints: readonly string[];
  readonly unlogged: boolean;
  /** Row security applies to whoever asks. */
  readonly secured: boolean;
  readonly ruled: boolean;
  /** Has a partition on another server. */
  readonly foreign: boolean;
  readonly triggers: readonly { readonly language: string; readonly source: string }[];
}

const OF_CLASS = `d.classid = 'pg_class'::regclass`;

/** Whether a row of pg_depend (d) on a column of a table (t.oid) is one for which the column's value matters. */
const BINDS = `d.deptype not in ('P', 'S') and (
  d.classid = 'pg_constraint'::regclass and exists (select from pg_constraint k where k.oid = d.objid and k.contype in ('c', 'f', 'p', 'u', 'x'))
  or ${OF_CLASS} and exists (select from pg_index i where i.indexrelid = d.objid
    and (i.indisunique or i.indisexclusion or i.indexprs is not null or i.indpred is not null))
  or ${OF_CLASS} and d.objid = t.oid and d.objsubid <> d.refobjsubid
  or d.classid = 'pg_attrdef'::regclass and exists (select from pg_attrdef g where g.oid = d.objid and (g.adrelid <> t.oid or g.adnum <> d.refobjsubid)))`;

/** What depends on the whole row and on no column by name depends on all of them. */
const ON_COLUMN = `(a.attnum = d.refobjsubid or d.refobjsubid = 0 and d.objsubid = 0 and d.objid <> t.oid and not exists (
  select from pg_depend o where o.classid = d.classid and o.objid = d.objid and o.refclassid = d.refclassid
    and o.refobjid = d.refobjid and o.refobjsubid > 0))`;

const FRESH = String.raw`(a.attidentity <> '' or pg_get_expr(f.adbin, f.adrelid) ~ '^nextval\(''.*''::regclass\)$'
  or ty.typname = 'uuid' and pg_get_expr(f.adbin, f.adrelid) ~ '^("?\w+"?\.)?(gen_random_uuid|uuid_generate_v4|uuid_generate_v1mc|uuidv4|uuidv7)\(\)$')`;

const SEQUENCE = `(select json_build_array(sn.nspname, s.relname) from pg_depend d join pg_class s on s.relkind = 'S'
    and s.oid = case d.deptype when 'i' then d.objid else d.refobjid end
  join pg_namespace sn on sn.oid = s.relnamespace
  where ${OF_CLASS} and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid and d.refobjsubid = a.attnum and d.deptype = 'i'
    or d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass and d.deptype = 'n'
  limit 1)`;

/** The planner's words for values that are all different, where some are NULL, too. */
const DISTINCT = `ty.typcategory <> 'D' and coalesce((select s.n_distinct < 0 and s.n_distinct <= s.null_frac - 0.9999 from pg_stats s
  where s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname and s.inherited = (c.relkind = 'p')), false)`;

const SHAPES = `
with recursive roots as (
  select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
    and ${userSchema('n')} and n.nspname <> '${LEDGER_SCHEMA}' and ${notOfExtension('pg_class', 'c.oid')}
    and ($1::text is null or n.nspname = $1 and c.relname = $2)
), tree (root, oid) as (
  select oid, oid from roots union all
  select t.root, i.inhrelid from tree t join pg_inherits i on i.inhparent = t.oid
  join pg_class p on p.oid = i.inhrelid and p.relispartition
), bound as (
  select distinct t.root, a.attname from tree t
  join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid
  join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and ${ON_COLUMN}
  where ${BINDS}
)
select json_build_array(n.nspname, c.relname) as path, c.relkind = 'p' as partitioned,
  c.relpersistence = 'u' or exists (select from tree t join pg_class p on p.oid = t.oid where t.root = c.oid and p.relpersistence = 'u') as unlogged,
  row_security_active(c.oid) as secured,
  exists (select from pg_rewrite r where r.ev_class = c.oid and r.ev_enabled <> 'D') as ruled,
  exists (select from tree t join pg_class p on p.oid = t.oid where t.root = c.oid and p.relkind = 'f') as foreign,
  coalesce((select json_agg(json_build_object(
      'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'cast', json_build_array(tn.nspname, ty.typname),
      'required', a.attnotnull, 'generated', a.attgenerated <> '', 'identity', a.attidentity <> '',
      'fresh', coalesce(${FRESH}, false), 'sequence', ${SEQUENCE},
      'bound', (c.oid, a.attname) in (select b.root, b.attname from bound b),
      'distinct', ${DISTINCT}) order by a.attnum)
    from pg_attribute a join pg_type ty on ty.oid = a.atttypid join pg_namespace tn on tn.oid = ty.typnamespace
    left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum and a.attgenerated = ''
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]') as columns,
  coalesce((select json_agg(a.attname order by u.at) from pg_index i, unnest(i.indkey) with ordinality u(num, at)
    join pg_attribute a on a.attnum = u.num
    where a.attrelid = c.oid and u.at <= i.indnkeyatts and i.indexrelid = (
      select i.indexrelid from pg_index i where i.indrelid = c.oid and (i.indisprimary or i.indisreplident)
      order by i.indisprimary desc limit 1)), '[]') as key,
  coalesce((select json_agg(names) from (
    select distinct (select json_agg(a.attname order by u.at) from unnest(i.indkey) with ordinality u(num, at)
      left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.num and u.num > 0
      where u.at <= i.indnkeyatts)::text::jsonb as names
    from tree t join pg_index i on i.indrelid = t.oid where t.root = c.oid and i.indisunique order by 1) list), '[]') as uniques,
  exists (select from tree t join pg_constraint k on k.conrelid = t.oid where t.root = c.oid and k.contype = 'x')
    or exists (select from tree t join pg_index i on i.indrelid = t.oid where t.root = c.oid and i.indisexclusion) as exclusive,
  coalesce((select json_agg(def) from (
    select distinct pg_get_constraintdef(k.oid) as def from tree t join pg_constraint k on k.conrelid = t.oid
    where t.root = c.oid and k.contype in ('c', 'f', 'p', 'u', 'x') order by 1) list), '[]') as constraints,
  coalesce((select json_agg(json_build_object('language', l.lanname, 'source', p.prosrc) order by t.oid, g.tgname)
    from tree t join pg_trigger g on g.tgrelid = t.oid join pg_proc p on p.oid = g.tgfoid
    join pg_language l on l.oid = p.prolang join pg_namespace pn on pn.oid = p.pronamespace
    where t.root = c.oid and not g.tgisinternal and g.tgparentid = 0 and g.tgenabled in ('O', 'A')
      and pn.nspname <> '${OWN_SCHEMA}'), '[]') as triggers
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid in (select oid from roots)
order by n.nspname collate "C", c.relname collate "C"`;

/** Tables as they are for whoever asks, by their names; or one of them. */
export async function readShapes(connection: Client, only?: Path): Promise<Shape[]> {
  return (await connection.query<Shape & Record<string, unknown>>(SHAPES, [...(only ?? [null, null])])).rows;
}

/** Equal for tables for which the same statements are derived; what ANALYZE says is no part of it. */
export const printOf = ({ columns, key, uniques, exclusive, constraints }: Shape): string =>
  JSON.stringify([
    columns.map(({ name, type, cast, required, generated, identity, fresh }) => [
      name,
      type,
      cast,
      required,
      generated,
      identity,
      fresh,
    ]),
    key,
    uniques,
    exclusive,
    constraints,
  ]);
