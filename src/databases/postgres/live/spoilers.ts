import type { Way, WayBack } from '../../../core/database/live.ts';
import { displayPath, quoteIdentifier, quoteLiteral, quotePath } from '../../../util/sql.ts';
import type { Connection } from '../connection.ts';
import type { Sides } from '../sides.ts';
import { userSchema } from '../catalog/sql.ts';

interface Column {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
}

interface Shape {
  readonly path: readonly [string, string];
  readonly columns: readonly Column[];
  /** Unique keys, each with its columns. */
  readonly unique: readonly (readonly string[])[];
  readonly key: readonly string[];
}

const SHAPES = `
select n.nspname as schema, c.relname as name,
  (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull) order by a.attnum)
     from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
  coalesce((select json_agg(array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum = any (i.indkey) order by a.attnum))
     from pg_index i where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indexprs is null and i.indpred is null), '[]') as unique,
  array(select a.attname::text from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
    where i.indrelid = c.oid and i.indisprimary order by a.attnum) as key
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence = 'p' and ${userSchema('n')}
order by n.nspname collate "C", c.relname collate "C"`;

async function shapes(connection: Connection): Promise<Map<string, Shape>> {
  const rows = await connection.query<Omit<Shape, 'path'> & { schema: string; name: string }>(SHAPES);
  return new Map(
    rows.map(({ schema, name, ...rest }) => [
      JSON.stringify([schema, name]),
      { ...rest, columns: rest.columns ?? [], path: [schema, name] },
    ]),
  );
}

/** Reading all rows for an answer is not worth more than this to anybody who only asks. */
const LOOK_MS = 5000;

/**
 * What the live side holds that the previous copy cannot: found by looking at the rows of every table whose definition
 * is narrower there. The first row of each kind is named by its key.
 */
export async function readSpoilers(
  sides: Sides,
  way: Way,
  since: string | undefined,
): Promise<Pick<WayBack, 'spoilers' | 'columns'>> {
  const [live, kept] = [await sides.hand(way.from), await sides.hand(way.to)];
  const [here, there] = [await shapes(live), await shapes(kept)];
  const found: string[] = [];
  const columns: string[] = [];
  const look = await sides.connect(way.from);
  try {
    await look.query(
      `set statement_timeout = ${LOOK_MS}; set default_transaction_read_only = on; set search_path = ''`,
    );
    for (const [key, table] of here) {
      const old = there.get(key);
      for (const { name } of old ? table.columns : [])
        if (!old!.columns.some((column) => column.name === name))
          columns.push(displayPath([...table.path, name]));
      for (const { where, what } of old ? narrower(table, old) : onlyHere(since)) {
        const row = await first(look, table, where);
        if (row !== undefined) found.push(`${displayPath(table.path)}: ${what}${row && `, first ${row}`}`);
      }
    }
    return { spoilers: found, columns };
  } finally {
    await look.end();
  }
}

interface Narrower {
  /** True for rows that do not fit. */
  readonly where: string;
  readonly what: string;
}

const onlyHere = (since: string | undefined): Narrower[] =>
  since === undefined
    ? []
    : [
        {
          where: `age(xmin) <= age((${quoteLiteral(since)}::xid8)::xid)`,
          what: 'rows in a table that the previous copy does not have',
        },
      ];

function narrower(table: Shape, old: Shape): Narrower[] {
  const found: Narrower[] = [];
  for (const column of table.columns) {
    const before = old.columns.find(({ name }) => name === column.name);
    if (!before) continue;
    const name = quoteIdentifier(column.name);
    if (before.notNull && !column.notNull)
      found.push({
        where: `${name} is null`,
        what: `NULL in ${displayPath([column.name])}, which was NOT NULL`,
      });
    const unfit = before.type === column.type ? undefined : unfitFor(before.type, name);
    if (unfit)
      found.push({
        where: unfit,
        what: `a value in ${displayPath([column.name])} that does not fit ${before.type}`,
      });
  }
  for (const columns of old.unique) {
    const same = (other: readonly string[]): boolean =>
      other.length === columns.length && columns.every((column) => other.includes(column));
    if (
      table.unique.some(same) ||
      !columns.every((name) => table.columns.some((column) => column.name === name))
    )
      continue;
    const list = columns.map(quoteIdentifier).join(', ');
    found.push({
      where: `(${list}) in (select ${list} from ${quotePath(table.path)} where ${columns.map((name) => `${quoteIdentifier(name)} is not null`).join(' and ')} group by ${list} having count(*) > 1)`,
      what: `duplicates in (${displayPath(columns)}), which was unique`,
    });
  }
  return found;
}

const RANGES: Readonly<Record<string, readonly [string, string]>> = {
  smallint: ['-32768', '32767'],
  integer: ['-2147483648', '2147483647'],
  bigint: ['-9223372036854775808', '9223372036854775807'],
};

/** A condition for values that a narrower type would refuse; undefined where every value of a sound migration fits. */
function unfitFor(type: string, column: string): string | undefined {
  const range = RANGES[type];
  if (range) return `not (${column}::numeric between ${range[0]} and ${range[1]})`;
  const length = /^character(?: varying)?\((\d+)\)$/.exec(type)?.[1];
  return length === undefined ? undefined : `length(rtrim(${column}::text)) > ${length}`;
}

/** The first row's key; the empty string for a table without one; undefined when there is no such row. */
async function first(look: Connection, table: Shape, where: string): Promise<string | undefined> {
  const key = table.key.map((name) => `${quoteIdentifier(name)}::text as ${quoteIdentifier(name)}`);
  const order = table.key.length > 0 ? `order by ${table.key.map(quoteIdentifier).join(', ')}` : '';
  const [row] = await look.query<Record<string, string>>(
    `select ${['1 as "found"', ...key].join(', ')} from only ${quotePath(table.path)} where ${where} ${order} limit 1`,
  );
  return row && table.key.map((name) => `${displayPath([name])} = ${row[name]}`).join(', ');
}
