import type pg from 'pg';
import type { Checksum, HashedRow, Path, Reader } from '../../../core/catalog.ts';
import { eachOf, lanes } from '../../../util/lanes.ts';
import { readCatalog, type Ask } from '../catalog/catalog.ts';
import { checksumSql, columnSumsSql, countSql, LARGE_OBJECTS_SQL } from './checksum.ts';
import { heaviest } from './heaviest.ts';
import { integrityOf } from './integrity.ts';
import { Lane } from './lane.ts';
import { Load, look } from './load.ts';
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
  // Whoever holds a lock for longer is told of, instead of being waited for without a word.
  lock_timeout: '10s',
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
  const load = new Load();
  return {
    lanes: clients.length,
    setDeadline(deadline) {
      for (const lane of all) lane.deadline = deadline;
    },
    async setPace(pace) {
      load.set(pace);
      if (pace) await use((lane) => look(lane.ask));
    },
    catalog: async () => {
      const catalog = await use((lane) => lane.within('repeatable read', (ask) => readCatalog(ask)));
      sources.know(catalog.tables);
      return catalog;
    },
    ...rowsOf({ use, lanes: clients.length, sources, load }),
    sequences: () => use((lane) => lane.reading(readSequences)),
    explain: (sql, options) => use((lane) => lane.explain(sql, options)),
    heaviest: (count) => use((lane) => lane.reading((ask) => heaviest(ask, count))),
    query: (sql) => use((lane) => lane.query(sql)),
  };
}

type Use = ReturnType<typeof lanes<Lane>>;

interface Rows {
  readonly use: Use;
  readonly lanes: number;
  readonly sources: Sources;
  readonly load: Load;
}

/** What takes as long as there are rows, and so gives way to others where that is asked for. */
function rowsOf({ use, lanes: atOnce, sources, load }: Rows) {
  const useForRows: Use = (work) =>
    use(async (lane) => {
      await load.pass(lane.ask);
      return work(lane);
    });
  /** Reads all of a table, in parts where others can go on with them, or are to be given way to in between. */
  const inParts = async <T>(
    table: Path,
    cut: boolean,
    read: (ask: Ask, source: string) => Promise<T>,
  ): Promise<T[]> => {
    const parts = await use((lane) =>
      lane.reading(async (ask) =>
        cut || load.limited ? sources.parts(ask, table) : [await sources.whole(ask, table)],
      ),
    );
    return eachOf(parts, atOnce, (part) => {
      const once = (ask: Ask) => read(ask, part);
      return useForRows((lane) => (parts.length > 1 ? lane.alone(once) : lane.reading(once)));
    });
  };
  return {
    countRows: async (table) => {
      const counts = await inParts(table, false, async (ask, source) =>
        BigInt((await ask(countSql(source)))[0]!['rows']!),
      );
      return counts.reduce((sum, count) => sum + count, 0n);
    },
    checksum: async (table, columns, { sample, progress } = {}) => {
      // One lane by itself leaves the parallel work to the server.
      const sums = await inParts(table, atOnce > 1, async (ask, source) => {
        const [row] = await ask(checksumSql(source, columns, sample));
        const sum = toChecksum(row!);
        progress?.(sum.rows);
        return sum;
      });
      return sums.reduce(added, NOTHING);
    },
    columnSums: (table, columns) =>
      useForRows((lane) =>
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
      useForRows((lane) =>
        lane.reading(async (ask) => {
          const rows = await ask(bucketsSql(await sources.whole(ask, table), columns, cut, outer));
          return new Map(rows.map((row) => [Number(row['bucket']), toChecksum(row)]));
        }),
      ),
    rowsIn: (table, columns, buckets, options) =>
      useForRows((lane) =>
        lane.reading(async (ask) => {
          const rows = await ask(rowsSql(await sources.whole(ask, table), columns, buckets, options));
          return rows.map(toHashedRow);
        }),
      ),
    largeObjects: () => useForRows((lane) => lane.reading(readLargeObjects)),
    integrity: integrityOf((work) => useForRows((lane) => lane.within('repeatable read', work))),
  } satisfies Partial<Reader>;
}

/** Columns that are summed up in one reading. */
const SUMS = 400;

type TextRow = Readonly<Record<string, string | null>>;

const toChecksum = (row: TextRow): Checksum => ({ rows: BigInt(row['rows']!), sum: row['sum']! });

const NOTHING: Checksum = { rows: 0n, sum: '0' };

const added = (one: Checksum, other: Checksum): Checksum => ({
  rows: one.rows + other.rows,
  sum: String(BigInt(one.sum) + BigInt(other.sum)),
});

const toHashedRow = (row: TextRow): HashedRow => ({
  place: row['place']!,
  id: row['id']!,
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
