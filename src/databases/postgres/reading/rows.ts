import type { Buckets, Checksum, HashedColumn, HashedRow } from '../../../core/database/catalog.ts';
import { rowHash, valueOf } from './checksum.ts';

const bucketOf = (by: readonly HashedColumn[], bits: number): string => `(${rowHash(by)} & ${2 ** bits - 1})`;

const within = ({ by, bits, among }: Buckets): string =>
  bits === 0 ? 'true' : `${bucketOf(by, bits)} = any ('{${among.join(',')}}'::int8[])`;

export const bucketsSql = (
  source: string,
  columns: readonly HashedColumn[],
  cut: Pick<Buckets, 'by' | 'bits'>,
  outer: Buckets | undefined,
): string =>
  `select ${bucketOf(cut.by, cut.bits)} as bucket, count(*) as rows, sum(${rowHash(columns)}) as sum
   from ${source} where ${outer ? within(outer) : 'true'} group by 1`;

/** Characters of a value that is shown. */
const SHOWN = 60;

const shown = (column: HashedColumn): string => {
  const value = valueOf(column);
  return `case when ${value} is null then null else left(concat(${value}), ${SHOWN}) end`;
};

// Arrays, because the arguments of a function are limited to a hundred.
const jsonOf = (parts: readonly string[]): string =>
  parts.length === 0 ? `'[]'` : `array_to_json(array[${parts.join(', ')}]::text[])::text`;

export const rowsSql = (
  source: string,
  columns: readonly HashedColumn[],
  buckets: Buckets,
  { limit, values }: { readonly limit: number; readonly values: boolean },
): string =>
  `select tableoid::regclass || ' ' || ctid as place, ${rowHash(buckets.by)} as id, ${rowHash(columns)} as hash,
   ${jsonOf(buckets.by.map(shown))} as key, ${jsonOf(columns.map((column) => rowHash([column])))} as hashes,
   ${jsonOf(values ? columns.map(shown) : [])} as values
   from ${source} where ${within(buckets)} limit ${limit}`;

type TextRow = Readonly<Record<string, string | null>>;

export const toChecksum = (row: TextRow): Checksum => ({ rows: BigInt(row['rows']!), sum: row['sum']! });

export const NOTHING: Checksum = { rows: 0n, sum: '0' };

export const added = (one: Checksum, other: Checksum): Checksum => ({
  rows: one.rows + other.rows,
  sum: String(BigInt(one.sum) + BigInt(other.sum)),
});

export const toHashedRow = (row: TextRow): HashedRow => ({
  place: row['place']!,
  id: row['id']!,
  hash: row['hash']!,
  key: JSON.parse(row['key']!) as (string | null)[],
  hashes: JSON.parse(row['hashes']!) as string[],
  values: JSON.parse(row['values']!) as (string | null)[],
});
