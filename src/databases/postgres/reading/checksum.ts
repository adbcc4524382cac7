import type { HashedColumn, Sample } from '../../../core/catalog.ts';
import { quoteIdentifier } from '../../../util/sql.ts';

/** Any number but 0, with which PostgreSQL's hash functions leave their state unseeded. */
const SEED = '8020463119563421001';
/** A chain is nested calls: longer ones come near the parser's and the planner's limits of depth. */
const GROUP = 48;
/** Bits of a non-negative int4. */
const BITMAP = 31;

type Link = (value: string, nullable: boolean, seed: string) => string;

const orElse = (value: string, nullable: boolean, constant: string): string =>
  nullable ? `coalesce(${value}, ${constant})` : value;

const int4: Link = (value, nullable, seed) =>
  `hashint4extended(${orElse(value, nullable, '0')}::int4, ${seed})`;

// The hash folds int8 to 32 bits, so that 1 = 2^32: the upper half is hashed once more.
const int8: Link = (value, nullable, seed) => {
  const given = orElse(value, nullable, '0');
  return `hashint4extended((${given} >> 32)::int4, hashint8extended(${given}, ${seed}))`;
};

// The seconds are exact to 8 µs in far centuries, the folded microseconds tell what is nearer. Both work for infinity.
const timestamp: Link = (value, nullable, seed) => {
  const given = `${orElse(value, nullable, `'2000-01-01'`)}::timestamp`;
  return `timestamp_hash_extended(${given}, hashfloat8extended(date_part('epoch', ${given}), ${seed}))`;
};

const text: Link = (value, nullable, seed) =>
  `hashtextextended(${orElse(`${value}::text`, nullable, `''`)} collate "C", ${seed})`;

// The type's own output function, past any cast that somebody defined; the empty string for NULL.
const output: Link = (value, _nullable, seed) => `hashtextextended(concat(${value}) collate "C", ${seed})`;

// The same by name, which is quicker, and unlike a cast to text leaves the blanks at the end of a bpchar.
const outputBy =
  (out: string): Link =>
  (value, nullable, seed) =>
    `hashtextextended(${orElse(`textin(${out}(${value}))`, nullable, `''`)} collate "C", ${seed})`;

// An array of one, because bytea's and date's own hash functions cannot be called.
const inArray =
  (type: string, constant: string): Link =>
  (value, nullable, seed) =>
    `hash_array_extended(array[${orElse(value, nullable, constant)}::${type}], ${seed})`;

// Beyond ASCII its text is another one before 15: a number is the same everywhere.
const CHAR = '"char"';

/**
 * Types whose hash is quick and tells every two values apart. The rest goes by its text, and for good reason:
 * numeric's hash knows neither sign nor scale, float's returns the seed for 0, and enum's is made of object ids.
 */
const links: Readonly<Record<string, Link>> = {
  smallint: int4,
  integer: int4,
  bigint: int8,
  [CHAR]: (value, nullable, seed) => int4(`${value}::int4`, nullable, seed),
  [`${CHAR}[]`]: (value, nullable, seed) => output(`${value}::int4[]`, nullable, seed),
  boolean: (value, nullable, seed) => int4(orElse(value, nullable, 'false'), false, seed),
  uuid: (value, nullable, seed) =>
    `uuid_hash_extended(${orElse(value, nullable, `'00000000-0000-0000-0000-000000000000'`)}, ${seed})`,
  date: inArray('date', `'2000-01-01'`),
  bytea: inArray('bytea', `''`),
  'timestamp without time zone': timestamp,
  'timestamp with time zone': timestamp,
  text,
  'character varying': text,
  character: outputBy('bpcharout'),
  numeric: outputBy('numeric_out'),
  real: outputBy('float4out'),
  'double precision': outputBy('float8out'),
  json: outputBy('json_out'),
  jsonb: outputBy('jsonb_out'),
};

export const valueOf = ({ name, expression }: HashedColumn): string =>
  expression === undefined ? quoteIdentifier(name) : `(${expression})`;

const link = (column: HashedColumn, seed: string): string =>
  (links[column.as] ?? output)(valueOf(column), column.nullable, seed);

/** NULL and the constant that stands for it would look alike: which of the columns are NULL is hashed as well. */
function nullBitmaps(columns: readonly HashedColumn[], seed: string): string {
  const nullable = columns.filter((column) => column.nullable);
  let chain = seed;
  for (let start = 0; start < nullable.length; start += BITMAP) {
    const bits = nullable
      .slice(start, start + BITMAP)
      .map((column, bit) => `(${valueOf(column)} is null)::int4 * ${2 ** bit}`);
    chain = `hashint4extended(${bits.join(' + ')}, ${chain})`;
  }
  return chain;
}

/**
 * SQL for a row's hash: a chain in which the hash so far seeds the next column's, so that values cannot change
 * places unseen. Every link names the hash before it once, or the text would grow exponentially. Long rows are cut
 * into groups whose hashes are chained in turn.
 */
export function rowHash(columns: readonly HashedColumn[]): string {
  let row = SEED;
  for (let start = 0; start < columns.length; start += GROUP) {
    const group = columns.slice(start, start + GROUP);
    const chain = group.reduce((seed, column) => link(column, seed), nullBitmaps(group, SEED));
    row = columns.length <= GROUP ? chain : `hashtextextended((${chain})::text collate "C", ${row})`;
  }
  return row;
}

/**
 * SQL for a number of rows and the sum of their hashes, which does not depend on their order. `sum` over bigint is
 * exact (128 bits inside the server). XOR would lose a row that is there twice. `source` is what follows FROM.
 */
export const checksumSql = (source: string, columns: readonly HashedColumn[], sample?: Sample): string =>
  `select count(*) as rows, coalesce(sum(${sample ? sampled(columns, sample) : rowHash(columns)}), 0) as sum
   from ${source}`;

/** Bits of a hash that decide whether a row is in a sample. */
const SAMPLE_BITS = 20;

/** Which rows are in a sample does not depend on the server: their keys decide. The others are there by their keys. */
function sampled(columns: readonly HashedColumn[], { by, share }: Sample): string {
  const key = rowHash(by);
  const most = Math.max(1, Math.round(share * 2 ** SAMPLE_BITS));
  return `case when (${key} & ${2 ** SAMPLE_BITS - 1}) < ${most} then ${rowHash(columns)} else ${key} end`;
}

/** One sum a column, under the names `c0`, `c1`, …; more than a statement can give are left to the caller to split. */
export const columnSumsSql = (source: string, columns: readonly HashedColumn[]): string =>
  `select ${columns.map((column, index) => `coalesce(sum(${rowHash([column])}), 0) as c${index}`).join(', ')} from ${source}`;

export const countSql = (source: string): string => `select count(*) as rows from ${source}`;

/** Number of large objects, and the sum over their ids and pages. An empty one has no page. */
export const LARGE_OBJECTS_SQL = `
select objects.rows, objects.sum + pages.sum as sum
from (select count(*) as rows, coalesce(sum(hashint4extended(1, hashoidextended(oid, ${SEED}))), 0) as sum
  from pg_largeobject_metadata) objects,
(select coalesce(sum(hash_array_extended(array[data], hashint4extended(pageno, hashoidextended(loid, ${SEED})))), 0)
  as sum from pg_largeobject) pages`;
