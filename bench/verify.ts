// What it takes to prove that two databases on one server hold the same rows, beside counting them (what the server needs
// to find them at all) and count(column) of every column (what it needs to take the rows apart), an MD5 of the ordered
// text, and both sides dumped and hashed: npm run bench:verify [-- --rounds 3]
// With --pg 15 the server is one that an older pg_dump on PATH can dump.
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { createReader, prepareReaderSession } from '../src/databases/postgres/reading/reader.ts';
import { checks } from '../src/checks/registry.ts';
import type { CheckContext } from '../src/core/drivers/check.ts';
import type { Reader, Table } from '../src/core/database/catalog.ts';
import { eachOf } from '../src/util/turns/lanes.ts';
import { quotePath } from '../src/util/sql.ts';
import { testServer } from '../test/helpers/postgres.ts';

const GOALS = { times_count: 3, faster_than_md5: 8, memory_mb: 50 };
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '2' },
    scale: { type: 'string', default: '100' },
    only: { type: 'string' },
    pg: { type: 'string', default: '18' },
  },
});
const rounds = Number(values.rounds);
const jobs = Number(values.jobs);

/** pgbench's own tables and rows, made by the server itself. */
const pgbench = (scale: number): string => `
create table pgbench_branches (bid int primary key, bbalance int, filler char(88));
create table pgbench_tellers (tid int primary key, bid int, tbalance int, filler char(84));
create table pgbench_accounts (aid int, bid int, abalance int, filler char(84)) with (fillfactor = 100);
create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
insert into pgbench_branches select i, 0, '' from generate_series(1, ${scale}) i;
insert into pgbench_tellers select i, (i - 1) / 10 + 1, 0, '' from generate_series(1, ${10 * scale}) i;
insert into pgbench_accounts select i, (i - 1) / 100000 + 1, 0, '' from generate_series(1, ${100_000 * scale}) i;
alter table pgbench_accounts add primary key (aid);`;

const WIDE_TABLES = 20;
const WIDE_ROWS = 70_000;
const wide = Array.from(
  { length: WIDE_TABLES },
  (_, index) => `
create table wide_${index} (id bigint primary key, ref uuid, made timestamptz not null, changed timestamptz, price numeric(12, 2),
  amount int not null, rate float8, active boolean not null, name text not null, mail varchar(200), city text, note text,
  tags text[], doc jsonb, day date, small smallint, big bigint, code char(8), a text, b text);
insert into wide_${index} select i, md5(i::text)::uuid, '2026-01-01Z'::timestamptz + i * interval '1 s', null, i / 7.0, i % 1000, i / 3.0, i % 2 = 0,
  'name ' || i, 'mail' || i || '@example.org', 'city ' || i % 100, repeat('note ', i % 40), array['a', 'b' || i % 10],
  jsonb_build_object('id', i, 'kind', i % 7, 'label', 'label ' || i), '2026-01-01'::date + i % 1000, i % 100, i * 1000003::bigint, 'code' || i % 1000,
  repeat('a', 100), repeat('b', i % 200) from generate_series(1, ${WIDE_ROWS}) i;`,
);

const small = Array.from({ length: 50 }, (_, part) =>
  Array.from({ length: 100 }, (__, index) => {
    const name = `small_${part * 100 + index}`;
    return `create table ${name} (id int primary key, name text, price numeric, at timestamptz);
      insert into ${name} select i, 'item ' || i, i, now() from generate_series(1, 100) i;`;
  }).join('\n'),
);

const loads: Readonly<Record<string, readonly string[]>> = {
  [`pgbench scale ${values.scale}`]: [pgbench(Number(values.scale))],
  '20 wide tables': wide,
  '5,000 small tables': small,
};

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1]!;

interface Figures {
  readonly load: string;
  readonly mb: number;
  readonly rows: number;
  readonly count_s: number;
  readonly values_s: number;
  readonly checksums_s: number;
  readonly md5_s: number;
  readonly dump_s: number | undefined;
  readonly times_count: number;
  readonly times_values: number;
  readonly faster_than_md5: number;
  readonly memory_mb: number;
}

const server = await testServer(Number(values.pg), {
  shared_buffers: '4GB',
  max_wal_size: '20GB',
  max_locks_per_transaction: '2000',
});
const figures: Figures[] = [];
try {
  for (const [load, statements] of Object.entries(loads))
    if (values.only === undefined || load.includes(values.only))
      figures.push(await measure(load, statements));
} finally {
  await server.stop();
}
report();

async function readerOf(name: string): Promise<{ reader: Reader; end: () => Promise<void> }> {
  const clients = await Promise.all(Array.from({ length: jobs }, () => server.connect(name)));
  for (const client of clients) await prepareReaderSession(client);
  return {
    reader: createReader(clients),
    end: async () => void (await Promise.all(clients.map((client) => client.end()))),
  };
}

async function measure(load: string, statements: readonly string[]): Promise<Figures> {
  const names = { blue: await server.database('bench'), green: '' };
  for (const statement of statements) await server.sql(statement, names.blue);
  await server.sql('vacuum analyze', names.blue);
  names.green = `${names.blue}_green`;
  await server.sql(`create database ${names.green} template ${names.blue} strategy file_copy`);
  const blue = await readerOf(names.blue);
  const green = await readerOf(names.green);
  const sides = { blue: blue.reader, green: green.reader };
  const catalogs = { blue: await sides.blue.catalog(), green: await sides.green.catalog() };
  const context: CheckContext = {
    ...sides,
    catalogs,
    expect: { renamed: {}, dropped: [], changed: [] },
    env: {},
    signal: new AbortController().signal,
    progress: () => undefined,
  };
  const both = async (work: (reader: Reader, table: Table) => Promise<unknown>): Promise<number> => {
    const started = performance.now();
    await eachOf(catalogs.blue.tables, jobs, (table) =>
      Promise.all([work(sides.blue, table), work(sides.green, table)]),
    );
    return (performance.now() - started) / 1000;
  };
  let rows = 0;
  const count = async (): Promise<number> => {
    rows = 0;
    return both(async (reader, table) => {
      const counted = await reader.countRows(table.path);
      if (reader === sides.blue) rows += Number(counted);
    });
  };
  await count();
  const { counts, checksums, memory } = await alternately(count, context);
  const readValues = () => both((reader, table) => reader.query(everyValue(table)));
  await readValues();
  const values_s = await readValues();
  const md5 = await both((reader, table) => reader.query(orderedText(table)));
  const [size] = await server.sql<{ bytes: number }>(
    `select pg_database_size('${names.blue}')::float8 as bytes`,
  );
  const dump = dumped(Object.values(names).map((name) => server.url(name)));
  await blue.end();
  await green.end();
  for (const name of Object.values(names)) await server.sql(`drop database ${name}`);
  return {
    load,
    mb: Math.round(size!.bytes / 1e6),
    rows,
    count_s: median(counts),
    values_s,
    checksums_s: median(checksums),
    md5_s: md5,
    dump_s: dump,
    times_count: median(checksums) / median(counts),
    times_values: median(checksums) / values_s,
    faster_than_md5: md5 / median(checksums),
    memory_mb: memory / 1e6,
  };
}

async function alternately(count: () => Promise<number>, context: CheckContext) {
  const counts: number[] = [];
  const checksums: number[] = [];
  let peak = 0;
  const before = process.memoryUsage().rss;
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20);
  const check = checks['checksums']!;
  for (let round = 0; round < rounds; round += 1) {
    counts.push(await count());
    const started = performance.now();
    const findings = await check
      .open(check.options.parse({}), { folder: '/', env: {}, resolve: (text) => text })
      .run(context);
    checksums.push((performance.now() - started) / 1000);
    if (findings.some(({ severity }) => severity !== 'ok')) throw new Error(JSON.stringify(findings));
  }
  clearInterval(watch);
  return { counts, checksums, memory: peak - before };
}

function everyValue({ path, columns }: Table): string {
  return `select ${columns.map(({ name }) => `count(t.${name})`).join(', ')} from only ${quotePath(path)} t`;
}

/** In stretches: the text of a whole table is more than the server's 1 GB for one value. */
function orderedText({ path, key }: Table): string {
  const order = key.length > 0 ? key.map((name) => `t.${name}`).join(', ') : 't::text';
  return `select md5(string_agg(md5, '' order by part)) from (
    select n / 1000000 as part, md5(string_agg(t, '' order by n)) as md5
    from (select t::text as t, row_number() over (order by ${order}) as n from only ${quotePath(path)} t) s group by 1) p`;
}

/** Seconds for both sides dumped and hashed; undefined where pg_dump is missing or older than the server. */
function dumped(urls: readonly string[]): number | undefined {
  const started = performance.now();
  try {
    execFileSync(
      'bash',
      [
        '-c',
        `set -o pipefail; ${urls.map((url) => `pg_dump --data-only '${url}' | md5sum & `).join('')} wait -n && wait -n`,
      ],
      { stdio: ['ignore', 'ignore', 'ignore'] },
    );
  } catch {
    return undefined;
  }
  return (performance.now() - started) / 1000;
}

function report(): void {
  const columns = [
    'load',
    'MB a side',
    'rows',
    'count(*) s',
    'values s',
    'checksums s',
    'x count',
    'x values',
    'md5 s',
    'faster',
    'dump s',
    'memory MB',
  ];
  const widths = [20, 10, 12, 11, 9, 12, 8, 9, 8, 7, 7, 9];
  const line = (cells: readonly (string | number)[]): string =>
    cells.map((cell, index) => String(cell).padEnd(widths[index]!)).join(' ');
  console.log(
    `both sides on one warm server of ${values.pg}, ${jobs} jobs a side, median of ${rounds}\n${line(columns)}`,
  );
  const rounded = figures.map((each) =>
    Object.fromEntries(
      Object.entries(each).map(([name, value]) => [
        name,
        typeof value === 'number' ? Number(value.toFixed(2)) : value,
      ]),
    ),
  );
  for (const each of rounded)
    console.log(
      line([
        each['load']!,
        each['mb']!,
        each['rows']!,
        each['count_s']!,
        each['values_s']!,
        each['checksums_s']!,
        each['times_count']!,
        each['times_values']!,
        each['md5_s']!,
        each['faster_than_md5']!,
        each['dump_s'] ?? '-',
        each['memory_mb']!,
      ]),
    );
  const met = figures.every(
    (each) =>
      each.times_count <= GOALS.times_count &&
      each.faster_than_md5 >= GOALS.faster_than_md5 &&
      each.memory_mb <= GOALS.memory_mb,
  );
  console.log(JSON.stringify({ bench: 'verify', pg: values.pg, figures: rounded, goals: GOALS, met }));
}
