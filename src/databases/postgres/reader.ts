import pg from 'pg';
import type { Checksum, Path, Reader, Row, SequenceState } from '../../core/catalog.ts';
import { inTurn } from '../../util/in-turn.ts';
import { quoteLiteral, quotePath } from '../../util/sql.ts';
import { readCatalog, type Ask } from './catalog/catalog.ts';
import { notOfExtension, userSchema } from './catalog/sql.ts';
import { bucketsSql, checksumSql, columnSumsSql, countSql, LARGE_OBJECTS_SQL, rowsSql } from './checksum.ts';

/** Everything that changes what a value looks like as text, and every limit that would end a long reading. */
const SESSION: Readonly<Record<string, string>> = {
  search_path: '',
  TimeZone: 'UTC',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  lc_monetary: 'C',
  xmlbinary: 'base64',
  quote_all_identifiers: 'off',
  // A row that a policy hides must be an error, never a row that is silently missing.
  row_security: 'off',
  default_transaction_read_only: 'on',
  default_transaction_isolation: 'read committed',
  // Compiling a row's hash takes longer than most tables.
  jit: 'off',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  transaction_timeout: '0',
};

/** Brings a connection into the state that a reader relies on; once, before `createReader`. */
export async function prepareReaderSession(client: pg.Client): Promise<void> {
  await client.query(
    `select set_config(s.name, v.value, false) from unnest($1::text[], $2::text[]) v(name, value)
     join pg_settings s on lower(s.name) = lower(v.name)`,
    [Object.keys(SESSION), Object.values(SESSION)],
  );
}

/**
 * A reader over one connection, which stays the caller's to end. Calls queue up: one statement at a time.
 * Expects a session that `prepareReaderSession` has seen. With the id of an exported snapshot it sees the database as
 * it was then.
 */
export function createReader(client: pg.Client, snapshot?: string): Reader {
  const queue = inTurn();
  const exclusive = <T>(work: () => Promise<T>): Promise<T> =>
    queue(() => (snapshot === undefined ? work() : inTransaction(client, 'repeatable read', work, snapshot)));
  const within = <T>(isolation: string, work: () => Promise<T>): Promise<T> =>
    snapshot === undefined ? inTransaction(client, isolation, work) : work();
  const ask: Ask = async (sql) => (await client.query({ text: sql, types: TEXT })).rows as never;
  const one = async (sql: string): Promise<Record<string, string | null>> => (await ask(sql))[0]!;
  const isPartitioned = async (table: Path): Promise<boolean> => {
    const result = await client.query<{ partitioned: boolean }>(
      `select relkind = 'p' as partitioned from pg_class where oid = $1::regclass`,
      [quotePath(table)],
    );
    return result.rows[0]?.partitioned ?? false;
  };
  return {
    catalog: () => exclusive(() => within('repeatable read', () => readCatalog(ask))),
    countRows: (table) =>
      exclusive(async () => BigInt((await one(countSql(table, await isPartitioned(table))))['rows']!)),
    checksum: (table, columns) =>
      exclusive(async () => toChecksum(await one(checksumSql(table, columns, await isPartitioned(table))))),
    columnSums: (table, columns) =>
      exclusive(async () => {
        const partitioned = await isPartitioned(table);
        const sums: string[] = [];
        for (let start = 0; start < columns.length; start += SUMS) {
          const some = columns.slice(start, start + SUMS);
          const row = await one(columnSumsSql(table, some, partitioned));
          sums.push(...some.map((_, index) => row[`c${index}`]!));
        }
        return sums;
      }),
    buckets: (table, columns, cut, outer) =>
      exclusive(async () => {
        const rows = await ask(bucketsSql(table, columns, cut, outer, await isPartitioned(table)));
        return new Map(rows.map((row) => [Number(row['bucket']), toChecksum(row)]));
      }),
    rowsIn: (table, columns, buckets, options) =>
      exclusive(async () => {
        const rows = await ask(rowsSql(table, columns, buckets, options, await isPartitioned(table)));
        return rows.map((row) => ({
          place: row['place']!,
          hash: row['hash']!,
          key: JSON.parse(row['key']!) as (string | null)[],
          hashes: JSON.parse(row['hashes']!) as string[],
          values: JSON.parse(row['values']!) as (string | null)[],
        }));
      }),
    largeObjects: () =>
      exclusive(async () => {
        const seen = await one(
          `select exists (select from pg_largeobject_metadata) as any,
             has_table_privilege('pg_largeobject', 'select') as readable`,
        );
        if (seen['any'] === 'f') return { rows: 0n, sum: '0' };
        return seen['readable'] === 't' ? toChecksum(await one(LARGE_OBJECTS_SQL)) : undefined;
      }),
    sequences: () => exclusive(() => readSequences(ask)),
    query: (sql) => exclusive(() => within('read committed', () => userQuery(client, sql))),
  };
}

/** Columns that are summed up in one reading. */
const SUMS = 400;

/** Values as the server writes them: JavaScript's numbers and dates would round. */
const TEXT = { getTypeParser: () => (value: unknown) => value } as unknown as pg.CustomTypesConfig;

const toChecksum = (row: Record<string, string | null>): Checksum => ({
  rows: BigInt(row['rows']!),
  sum: row['sum']!,
});

/** Always rolled back: it has nothing to keep, and settings that a query changed go with it. */
async function inTransaction<T>(
  client: pg.Client,
  isolation: string,
  work: () => Promise<T>,
  snapshot?: string,
): Promise<T> {
  await client.query(`begin transaction isolation level ${isolation} read only`);
  if (snapshot !== undefined) await client.query(`set transaction snapshot ${quoteLiteral(snapshot)}`);
  try {
    return await work();
  } finally {
    await client.query('rollback');
  }
}

/** One statement by the extended protocol, which refuses a second one behind a semicolon: nothing leaves the transaction. */
async function userQuery(client: pg.Client, sql: string): Promise<Row[]> {
  await client.query('set local search_path to default');
  const text = { text: sql, types: TEXT, queryMode: 'extended', rowMode: 'array' } as pg.QueryArrayConfig;
  const result = await client.query<unknown[]>(text);
  // Columns may share a name (`count`, `count`), which keys of an object may not.
  const names: string[] = [];
  for (const { name } of result.fields) {
    let unique = name;
    for (let next = 2; names.includes(unique); next += 1) unique = `${name} (${next})`;
    names.push(unique);
  }
  return result.rows.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index]])));
}

/** Sequences a query: long UNIONs are slow to plan, many queries slow to send. */
const CHUNK = 200;

async function readSequences(ask: Ask): Promise<SequenceState[]> {
  const list = await ask(
    `select n.nspname as schema, c.relname as name, s.seqincrement as increment from pg_sequence s
     join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
     where ${userSchema('n')} and ${notOfExtension('pg_class', 'c.oid')}
     order by n.nspname collate "C", c.relname collate "C"`,
  );
  const found: SequenceState[] = [];
  for (let start = 0; start < list.length; start += CHUNK) {
    const chunk = list.slice(start, start + CHUNK);
    const states = await ask(
      chunk
        .map((row, index) => {
          const path = quotePath([row['schema']!, row['name']!]);
          return `select ${index} as index, last_value, is_called from ${path}`;
        })
        .join(' union all '),
    );
    for (const state of states) {
      const row = chunk[Number(state['index'])]!;
      found[start + Number(state['index'])] = {
        path: [row['schema']!, row['name']!],
        lastValue: BigInt(state['last_value']!),
        isCalled: state['is_called'] === 't',
        increment: BigInt(row['increment']!),
      };
    }
  }
  return found;
}
