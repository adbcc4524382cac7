import type pg from 'pg';
import type { Checksum, Path, Reader } from '../../../core/database/catalog.ts';
import { eachOf, lanes } from '../../../util/turns/lanes.ts';
import { readCatalog, type Ask } from '../catalog/catalog.ts';
import { checksumSql, columnSumsSql, countSql, LARGE_OBJECTS_SQL } from './checksum.ts';
import { heaviest } from './heaviest.ts';
import { integrityOf } from './integrity.ts';
import { Lane } from './lane.ts';
import { Load, look } from './load.ts';
import { added, bucketsSql, NOTHING, rowsSql, toChecksum, toHashedRow } from './rows.ts';
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
 * one, several connections see one state only while nobody writes. `mend` is asked about every reading that fails.
 */
export function createReader(
  clients: readonly pg.Client[],
  snapshot?: string,
  partBytes = PART_BYTES,
  mend: Mend = () => Promise.resolve(false),
): Reader {
  const all = clients.map((client) => new Lane(client, snapshot));
  const use = mending(lanes(all), mend);
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

/** How often a reading is begun whose connection is lost each time. */
const GOES = 3;

/** Whether work that failed on a lane may be begun once more there. */
type Mend = (lane: Lane, error: unknown) => Promise<boolean>;

const mending =
  (use: Use, mend: Mend): Use =>
  (work) =>
    use(async (lane) => {
      for (let goes = 1; ; goes += 1) {
        try {
          return await work(lane);
        } catch (error) {
          if (goes === GOES || !(await mend(lane, error))) throw error;
        }
      }
    });

interface Rows {
  readonly use: Use;
  readonly lanes: number;
  readonly sources: Sources;
  readonly load: Load;
}

/** Lends a lane for a reading of rows: by then others have little enough to do. */
const giveWay =
  ({ use, load }: Pick<Rows, 'use' | 'load'>): Use =>
  (work) =>
    use(async (lane) => {
      await load.pass(lane.ask);
      return work(lane);
    });

interface PartReading<T> {
  /** In parts anyway, for several lanes to go on with. */
  readonly cut: boolean;
  readonly read: (ask: Ask, source: string) => Promise<T>;
  readonly heard?: (result: T) => void;
}

/** Reads all of a table, in parts where others can go on with them, or are to be given way to in between. */
async function inParts<T>(
  { use, lanes: atOnce, sources, load }: Rows,
  table: Path,
  { cut, read, heard }: PartReading<T>,
): Promise<T[]> {
  const useForRows = giveWay({ use, load });
  if (!cut && !load.limited) {
    const whole = await useForRows((lane) =>
      lane.reading(async (ask) => read(ask, await sources.whole(ask, table))),
    );
    heard?.(whole);
    return [whole];
  }
  const parts = await use((lane) => lane.reading((ask) => sources.parts(ask, table)));
  return eachOf(parts, atOnce, async (part) => {
    const once = (ask: Ask) => read(ask, part);
    const result = await useForRows((lane) => (parts.length > 1 ? lane.alone(once) : lane.reading(once)));
    // By now it is certain that it will not be read once more.
    heard?.(result);
    return result;
  });
}

/** What takes as long as there are rows, and so gives way to others where that is asked for. */
function rowsOf(rows: Rows) {
  const { sources } = rows;
  const useForRows = giveWay(rows);
  return {
    countRows: async (table) => {
      const counts = await inParts(rows, table, {
        cut: false,
        read: async (ask, source) => BigInt((await ask(countSql(source)))[0]!['rows']!),
      });
      return counts.reduce((sum, count) => sum + count, 0n);
    },
    checksum: async (table, columns, { sample, progress } = {}) => {
      const sums = await inParts(rows, table, {
        // One lane by itself leaves the parallel work to the server.
        cut: rows.lanes > 1,
        read: async (ask, source) => {
          const filled = await sources.filled(ask, table, columns);
          return toChecksum((await ask(checksumSql(source, columns, { sample, filled })))[0]!);
        },
        heard: (sum) => progress?.(sum.rows),
      });
      return sums.reduce(added, NOTHING);
    },
    checksums: (tables) =>
      useForRows((lane) =>
        lane.within('read committed', async (ask) => {
          const selects: string[] = [];
          for (const { table, columns, sample } of tables)
            selects.push(
              checksumSql(await sources.whole(ask, table), columns, { sample, number: selects.length }),
            );
          // The others' locks are held meanwhile: who waits for them must not wait for long, nor meet a deadlock.
          await ask(`set local lock_timeout = '500ms'`);
          const found = await ask(selects.join('\nunion all '));
          const sums: Checksum[] = [];
          for (const row of found) sums[Number(row['number'])] = toChecksum(row);
          return sums;
        }),
      ),
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
          const sums = await ask(bucketsSql(await sources.whole(ask, table), columns, cut, outer));
          return new Map(sums.map((row) => [Number(row['bucket']), toChecksum(row)]));
        }),
      ),
    rowsIn: (table, columns, buckets, options) =>
      useForRows((lane) =>
        lane.reading(async (ask) => {
          const found = await ask(rowsSql(await sources.whole(ask, table), columns, buckets, options));
          return found.map(toHashedRow);
        }),
      ),
    largeObjects: () => useForRows((lane) => lane.reading(readLargeObjects)),
    integrity: integrityOf((work) => useForRows((lane) => lane.within('repeatable read', work))),
  } satisfies Partial<Reader>;
}

/** Columns that are summed up in one reading. */
const SUMS = 400;

async function readLargeObjects(ask: Ask): Promise<Checksum | undefined> {
  const [seen] = await ask(
    `select exists (select from pg_largeobject_metadata) as any,
       has_table_privilege('pg_largeobject', 'select') as readable`,
  );
  if (seen!['any'] === 'f') return NOTHING;
  return seen!['readable'] === 't' ? toChecksum((await ask(LARGE_OBJECTS_SQL))[0]!) : undefined;
}
