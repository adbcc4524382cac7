import { OWN_SCHEMA } from '../live/objects/names.ts';

/** Pieces of SQL that the catalogue's queries share. Every query gives (kind text, path json text, definition text). */

/** Namespaces of the user: names that begin with `pg_` are the server's own, and one is ours. */
export const userSchema = (namespace: string): string =>
  `${namespace}.nspname !~ '^pg_' and ${namespace}.nspname not in ('information_schema', '${OWN_SCHEMA}')`;

/** Leaves out what belongs to an extension: its version says everything about it. */
export const notOfExtension = (catalog: string, oid: string): string =>
  `not exists (select from pg_depend member where member.classid = '${catalog}'::regclass
    and member.objid = ${oid} and member.deptype = 'e')`;

/** Leaves out what the server made along with something else, such as a range type's constructors. */
export const notImplied = (catalog: string, oid: string): string =>
  `not exists (select from pg_depend part where part.classid = '${catalog}'::regclass
    and part.objid = ${oid} and part.deptype in ('e', 'i'))`;

// Everything there is to grant on a table came to mean MAINTAIN as well with 17: a dump of an older server says ALL.
const item = String.raw`regexp_replace(item::text, '(a\*?r\*?w\*?d\*?D\*?x\*?t\*?)m\*?', '\1')`;

/** A line with the access privileges in a fixed order; NULL, and so no line, when they were never touched. */
export const aclLine = (acl: string): string =>
  `(select 'privileges ' || string_agg(${item}, ', ' order by ${item} collate "C") from unnest(${acl}) item)`;

export const ownerLine = (owner: string): string => `'owner ' || pg_get_userbyid(${owner})`;

/** A line with the comment; the lookup is by the index of pg_description. */
export const commentLine = (catalog: string, oid: string, column = '0'): string =>
  `(select 'comment ' || remark.description from pg_description remark
    where remark.classoid = '${catalog}'::regclass and remark.objoid = ${oid} and remark.objsubid = ${column})`;

/** What late minor releases of 15 note for themselves among a column's options: it differs in every copy. */
const OWN_NOTE = 'pg_attver=';

/** Storage parameters in a fixed order. */
export const optionsLine = (options: string): string =>
  `(select 'options ' || string_agg(o, ', ' order by o collate "C") from unnest(${options}) o
    where not starts_with(o, '${OWN_NOTE}'))`;

/** Options that may hold passwords: only their hash, so that a change is seen and nothing leaks. */
export const secretOptionsLine = (options: string): string =>
  `(select 'options sha256:' || encode(sha256(convert_to(string_agg(o, E'\\n' order by o collate "C"), 'UTF8')), 'hex')
    from unnest(${options}) o)`;

export const path = (...names: string[]): string => `json_build_array(${names.join(', ')})::text`;

/** Lines of a definition; those that are NULL are left out. */
export const lines = (...parts: string[]): string => `concat_ws(E'\\n', ${parts.join(', ')})`;

/** `schema.name`, quoted, of a relation. */
export const qualified = (namespace: string, name: string): string =>
  `format('%I.%I', ${namespace}, ${name})`;
