import type { HashedColumn, Sample } from '../../../core/database/catalog.ts';
import { quoteIdentifier } from '../../../util/sql.ts';

/** Any number but 0, with which PostgreSQL's hash functions leave their state unseeded. */
const SEED = '8020463119563421001';
/** A chain is nested calls: longer ones come near the parser's and the planner's limits of depth. */
const GROUP = 48;
/** Bits of a non-negative int4. */
const BITMAP = 31;

/** How values of a type are hashed. */
interface Link {
  /** SQL that hashes a value into the hash so far. It is NULL for NULL and for nothing else. */
  readonly hash: (value: string, seed: string) => string;
  /** What stands for NULL where rows with it are hashed. */
  readonly nothing: string;
  /** SQL for the value as it is hashed; the column itself by default. Also NULL for NULL and for nothing else. */
  readonly given?: (value: string) => string;
}

const int4: Link = { nothing: '0', hash: (value, seed) => `hashint4extended(${value}::int4, ${seed})` };

// The hash folds int8 to 32 bits, so that 1 = 2^32: the upper half is hashed once more.
const int8: Link = {
  nothing: '0',
  hash: (value, seed) => `hashint4extended((${value} >> 32)::int4, hashint8extended(${value}, ${seed}))`,
};

/** Where PostgreSQL counts time from. */
const START = '2000-01-01';

// The hash folds a time to 32 bits as well: what it folds, hours of 2^32 µs, is hashed once more. Before the start
// older minor versions cut such hours otherwise: there the seconds go in, which are exact to 8 µs, the folded
// microseconds tell what is nearer. No time has 1e300 seconds.
const time = (type: string, bare: (value: string) => string): Link => {
  const start = `${type} '${START} 00:00Z'`;
  return {
    nothing: start,
    hash: (value, seed) => {
      const hour = `case when ${value} < ${start} then ${start} else date_bin(interval '4294.967296 s', ${value}, ${start}) end`;
      const seconds = `case when ${value} < ${start} then date_part('epoch', ${value}) else 1e300 end`;
      return `timestamp_hash_extended(${bare(value)}, timestamp_hash_extended(${bare(hour)}, hashfloat8extended(${seconds}, ${seed})))`;
    },
  };
};

// Its hash is made of the days since the start, but cannot be called.
const date: Link = {
  nothing: `date '${START}'`,
  hash: (value, seed) => {
    const start = `date '${START}'`;
    const infinite = `when ${value} > ${start} then 2147483647 when ${value} < ${start} then -2147483648`;
    return `hashint4extended(case when isfinite(${value}) then ${value} - ${start} ${infinite} end, ${seed})`;
  },
};

// The hash leaves its seed alone for 0, of which there are two: the side on which an arc ends tells them apart.
const float: Link = {
  nothing: '0',
  given: (value) => `${value}::float8`,
  hash: (value, seed) => {
    const zero = `case when ${value} <> 0 then 0 when atan2(${value}, -1) < 0 then 1 else 2 end`;
    return `hashfloat8extended(${value}, hashint4extended(${zero}, ${seed}))`;
  },
};

// The hash passes over the blanks at the end, which only a bpchar without a length may have more or fewer of.
const character: Link = {
  nothing: `''`,
  hash: (value, seed) =>
    `hashbpcharextended(${value} collate "C", hashint4extended(octet_length(${value}), ${seed}))`,
};

const text: Link = {
  nothing: `''`,
  given: (value) => `${value}::text`,
  hash: (value, seed) => `hashtextextended(${value} collate "C", ${seed})`,
};

/** A composite is NULL for `is null` also where all of its fields are. */
const isNull = (value: string): string => `${value} is not distinct from null`;

// The type's own output function, past any cast that somebody defined.
const output: Link = {
  ...text,
  given: (value) => `case when ${isNull(value)} then null else concat(${value}) end`,
};

// The same by name, which is quicker.
const outputBy = (out: string): Link => ({ ...text, given: (value) => `textin(${out}(${value}))` });

/** Types whose values are hashed as those of another one are. */
const through = (link: Link, given: (value: string) => string): Link => ({ ...link, given });

// Beyond ASCII its text is another one before 15: a number is the same everywhere.
const CHAR = '"char"';

/**
 * Types whose hash is quick and tells every two values apart. The rest goes by its text, and for good reason:
 * numeric's hash knows neither sign nor scale, jsonb's goes by that, and enum's is made of object ids.
 */
const links: Readonly<Record<string, Link>> = {
  smallint: int4,
  integer: int4,
  bigint: int8,
  [CHAR]: through(int4, (value) => `${value}::int4`),
  [`${CHAR}[]`]: through(output, (value) => output.given!(`${value}::int4[]`)),
  boolean: { ...int4, nothing: 'false' },
  uuid: {
    nothing: `'00000000-0000-0000-0000-000000000000'`,
    hash: (value, seed) => `uuid_hash_extended(${value}, ${seed})`,
  },
  date,
  // An array of one, because its own hash function cannot be called.
  bytea: {
    nothing: `''`,
    given: (value) => `${value}::bytea`,
    hash: (value, seed) =>
      `hash_array_extended(case when ${value} is not null then array[${value}] end, ${seed})`,
  },
  'timestamp without time zone': time('timestamp', (value) => value),
  // Without the way over a calendar that a cast takes.
  'timestamp with time zone': time('timestamptz', (value) => `timezone(interval '0', ${value})`),
  text,
  'character varying': text,
  character,
  numeric: outputBy('numeric_out'),
  real: float,
  'double precision': float,
  json: outputBy('json_out'),
  jsonb: outputBy('jsonb_out'),
};

export const valueOf = ({ name, expression }: HashedColumn): string =>
  expression === undefined ? quoteIdentifier(name) : `(${expression})`;

const array = outputBy('array_out');

/** `bare`: NULL for NULL, in place of what stands for it. */
function chained(column: HashedColumn, seed: string, bare: boolean): string {
  const { hash, nothing, given } = links[column.as] ?? (column.as.endsWith('[]') ? array : output);
  const value = valueOf(column);
  const hashed = given ? given(value) : value;
  return hash(column.nullable && !bare ? `coalesce(${hashed}, ${nothing})` : hashed, seed);
}

/**
 * NULL and the constant that stands for it would look alike: which of the columns are NULL is hashed as well, of the
 * rows where one of them is.
 */
function nullBitmaps(columns: readonly HashedColumn[]): string {
  const tests = columns.filter(({ nullable }) => nullable).map((column) => isNull(valueOf(column)));
  if (tests.length === 0) return SEED;
  let chain = SEED;
  for (let start = 0; start < tests.length; start += BITMAP) {
    const bits = tests
      .slice(start, start + BITMAP)
      .map((test, bit) => `case when ${test} then ${2 ** bit} else 0 end`);
    chain = `hashint4extended(${bits.join(' + ')}, ${chain})`;
  }
  return `case when ${tests.join(' or ')} then ${chain} else ${SEED} end`;
}

/**
 * SQL for a row's hash: a chain in which the hash so far seeds the next column's, so that values cannot change
 * places unseen. Every link names the hash before it once, or the text would grow exponentially. Long rows are cut
 * into groups whose hashes are chained in turn. `filled` changes the time that it takes, and not the hash: less where
 * no column is NULL, more in rows where one is.
 */
export function rowHash(columns: readonly HashedColumn[], filled = false): string {
  let row = SEED;
  for (let start = 0; start < columns.length; start += GROUP) {
    const group = columns.slice(start, start + GROUP);
    const whole = group.reduce((seed, column) => chained(column, seed, false), nullBitmaps(group));
    const bare = group.reduce((seed, column) => chained(column, seed, true), SEED);
    const chain = filled ? `coalesce(${bare}, ${whole})` : whole;
    row = columns.length <= GROUP ? chain : `hashtextextended((${chain})::text collate "C", ${row})`;
  }
  return row;
}

/**
 * SQL for a number of rows and the sum of their hashes, which does not depend on their order. `sum` over bigint is
 * exact (128 bits inside the server). XOR would lose a row that is there twice. `source` is what follows FROM.
 */
export const checksumSql = (source: string, columns: readonly HashedColumn[], how: How = {}): string => {
  const row = rowHash(columns, how.filled);
  return `select count(*) as rows, coalesce(sum(${how.sample ? sampled(row, how.sample) : row}), 0) as sum${how.number === undefined ? '' : `, ${how.number} as number`}
   from ${source}`;
};

interface How {
  /** Given back as it is, to tell the tables of one statement apart. */
  readonly number?: number;
  readonly sample?: Sample | undefined;
  /** Hardly a row has a NULL in these columns. */
  readonly filled?: boolean;
}

/** Bits of a hash that decide whether a row is in a sample. */
const SAMPLE_BITS = 20;

/** Which rows are in a sample does not depend on the server: their keys decide. The others are there by their keys. */
function sampled(row: string, { by, share }: Sample): string {
  const key = rowHash(by);
  const most = Math.max(1, Math.round(share * 2 ** SAMPLE_BITS));
  return `case when (${key} & ${2 ** SAMPLE_BITS - 1}) < ${most} then ${row} else ${key} end`;
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
