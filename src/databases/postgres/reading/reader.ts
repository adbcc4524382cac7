import pg from 'pg';
import type { Checksum, HashedRow, Reader, Row } from '../../../core/catalog.ts';
import { eachOf, lanes } from '../../../util/lanes.ts';
import { quoteLiteral } from '../../../util/sql.ts';
import { readCatalog, type Ask } from '../catalog/catalog.ts';
import { checksumSql, columnSumsSql, countSql, LARGE_OBJECTS_SQL } from './checksum.ts';
import { heaviest } from './heaviest.ts';
import { integrityOf } from './integrity.ts';
import { bucketsSql, rowsSql } from './rows.ts';
import { readSequences } from './sequences.ts';
import { Sources } from './source.ts';

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

/** Bytes of a table that one statement reads: larger ones show how far they are, and go by several lanes. */
const PART_BYTES = 256 * 1024 * 1024;

/**
 * A reader over connections that stay the caller's to end, one statement at a time on each. Expects sessions that
 * `prepareReaderSession` has seen. With the id of an exported snapshot it sees the database as it was then; without
 * one, several connections see one state only while nobody writes.
 */
export function createReader(
  clients: readonly pg.Client[],
  snapshot?: string,
  partBytes = PART_BYTES,
): Reader {
  const all = clients.map((client) => new Lane(client, snapshot));
  const use = lanes(all);
  const sources = new Sources(partBytes);
  return {
    lanes: clients.length,
    setDeadline(deadline) {
      for (const lane of all) lane.deadline = deadline;
    },
    catalog: async () => {
      const catalog = await use((lane) => lane.within('repeatable read', (ask) => readCatalog(ask)));
      sources.know(catalog.tables);
      return catalog;
    },
    countRows: (table) =>
      use((lane) =>
        lane.reading(async (ask) =>
          BigInt((await ask(countSql(await sources.whole(ask, table))))[0]!['rows']!),
        ),
      ),
    checksum: async (table, columns, progress) => {
      const parts = await use((lane) => lane.reading((ask) => sources.parts(ask, table)));
      const sums = await eachOf(parts, clients.length, async (part) => {
        const read = (ask: Ask) => ask(checksumSql(part, columns));
        const [row] = await use((lane) => (parts.length > 1 ? lane.alone(read) : lane.reading(read)));
        const sum = toChecksum(row!);
        progress?.(sum.rows);
        return sum;
      });
      return sums.reduce(added, NOTHING);
    },
    columnSums: (table, columns) =>
      use((lane) =>
        lane.reading(async (ask) => {
          const source = await sources.whole(ask, table);
          const sums: string[] = [];
          for (let start = 0; start < columns.length; start += SUMS) {
            const some = columns.slice(start, start + SUMS);
            const [row] = await ask(columnSumsSql(source, some));
            sums.push(...some.map((_, index) => row![`c${index}`]!));
          }
          return sums;
        }),
      ),
    buckets: (table, columns, cut, outer) =>
      use((lane) =>
        lane.reading(async (ask) => {
          const rows = await ask(bucketsSql(await sources.whole(ask, table), columns, cut, outer));
          return new Map(rows.map((row) => [Number(row['bucket']), toChecksum(row)]));
        }),
      ),
    rowsIn: (table, columns, buckets, options) =>
      use((lane) =>
        lane.reading(async (ask) => {
          const rows = await ask(rowsSql(await sources.whole(ask, table), columns, buckets, options));
          return rows.map(toHashedRow);
        }),
      ),
    largeObjects: () => use((lane) => lane.reading(readLargeObjects)),
    integrity: integrityOf((work) => use((lane) => lane.within('repeatable read', work))),
    sequences: () => use((lane) => lane.reading(readSequences)),
    explain: (sql, options) => use((lane) => lane.explain(sql, options)),
    heaviest: (count) => use((lane) => lane.reading((ask) => heaviest(ask, count))),
    query: (sql) => use((lane) => lane.query(sql)),
  };
}

/** One connection of a reader. */
class Lane {
  readonly #client: pg.Client;
  readonly #snapshot: string | undefined;
  readonly #ask: Ask;
  deadline: number | undefined;
  #limited = false;

  constructor(client: pg.Client, snapshot: string | undefined) {
    this.#client = client;
    this.#snapshot = snapshot;
    this.#ask = async (sql) => (await client.query({ text: sql, types: TEXT })).rows as never;
  }

  /** Statements that see one state each, or that of the snapshot. */
  async reading<T>(work: (ask: Ask) => Promise<T>): Promise<T> {
    if (this.#snapshot !== undefined) return this.within('repeatable read', work);
    await this.#limit();
    return work(this.#ask);
  }

  /** What is left of the time, as a limit of the session's. */
  async #limit(): Promise<void> {
    if (this.deadline === undefined && !this.#limited) return;
    const left = this.deadline === undefined ? 0 : Math.max(1, Math.ceil(this.deadline - performance.now()));
    await this.#client.query(`set statement_timeout = ${left}`);
    this.#limited = this.deadline !== undefined;
  }

  /** Without workers of the server's own: with them it would read all of a table for each range of its blocks. */
  alone<T>(work: (ask: Ask) => Promise<T>): Promise<T> {
    return this.within('read committed', async (ask) => {
      await ask('set local max_parallel_workers_per_gather = 0');
      return work(ask);
    });
  }

  /** Statements in one transaction. */
  async within<T>(isolation: string, work: (ask: Ask) => Promise<T>): Promise<T> {
    await this.#limit();
    return inTransaction(
      this.#client,
      this.#snapshot === undefined ? isolation : 'repeatable read',
      () => work(this.#ask),
      this.#snapshot,
    );
  }

  /** A statement with `$1` in it can only be explained by the simple protocol: nobody binds its values. */
  explain(sql: string, { generic }: { readonly generic: boolean }): Promise<string> {
    const text = `explain (format json, verbose${generic ? ', generic_plan' : ''}) ${sql}`;
    return this.within('read committed', async (ask) => {
      await ask('set local search_path to default');
      const [row] = generic ? await ask(text) : await userQuery(this.#client, text);
      return String(row!['QUERY PLAN']);
    });
  }

  query(sql: string): Promise<Row[]> {
    return this.within('read committed', () => userQuery(this.#client, sql));
  }
}

/** Columns that are summed up in one reading. */
const SUMS = 400;

/** Values as the server writes them: JavaScript's numbers and dates would round. */
const TEXT = { getTypeParser: () => (value: unknown) => value } as unknown as pg.CustomTypesConfig;

type TextRow = Readonly<Record<string, string | null>>;

const toChecksum = (row: TextRow): Checksum => ({ rows: BigInt(row['rows']!), sum: row['sum']! });

const NOTHING: Checksum = { rows: 0n, sum: '0' };

const added = (one: Checksum, other: Checksum): Checksum => ({
  rows: one.rows + other.rows,
  sum: String(BigInt(one.sum) + BigInt(other.sum)),
});

const toHashedRow = (row: TextRow): HashedRow => ({
  place: row['place']!,
  hash: row['hash']!,
  key: JSON.parse(row['key']!) as (string | null)[],
  hashes: JSON.parse(row['hashes']!) as string[],
  values: JSON.parse(row['values']!) as (string | null)[],
});

async function readLargeObjects(ask: Ask): Promise<Checksum | undefined> {
  const [seen] = await ask(
    `select exists (select from pg_largeobject_metadata) as any,
       has_table_privilege('pg_largeobject', 'select') as readable`,
  );
  if (seen!['any'] === 'f') return NOTHING;
  return seen!['readable'] === 't' ? toChecksum((await ask(LARGE_OBJECTS_SQL))[0]!) : undefined;
}

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
