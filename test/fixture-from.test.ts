import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import { addressOf } from '../src/databases/postgres/address.ts';
import { Connection } from '../src/databases/postgres/connection.ts';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { loadFixture } from '../src/databases/postgres/fixture/load.ts';
import { workplace, type Workplace } from './helpers/cli.ts';
import { dump } from './helpers/dump.ts';
import { loadFixture as loadOdd } from './helpers/fixture.ts';
import { NEVER, PERSONAL, ROLE } from './helpers/personal.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';
import { assertKept, CLOSED } from './helpers/rehearsal.ts';

const pgDump = await findTool('pg_dump', undefined).catch(() => undefined);
const missing = [...(majors().includes(15) ? [] : ['PostgreSQL 15']), ...(pgDump ? [] : ['pg_dump'])];
const SKIPPED = missing.length > 0 ? ` (SKIPPED: ${missing.join(', ')} is not installed)` : '';
const test = missing.length > 0 ? ava.serial.skip : ava.serial;

const KEY = 'a key that nobody guesses';

let server: TestServer;
let people: string;
ava.before(async () => {
  if (missing.length > 0) return;
  server = await testServer(15);
  people = await server.database('people');
  await server.sql(`create role "${ROLE}"`);
  await server.sql(PERSONAL, people);
});
ava.after.always(() => server?.stop());

interface Told {
  readonly tables: { table: string; taken: number; of: number; exact: boolean }[];
  readonly masked: string[];
  readonly left: string[];
  readonly next: string;
}

async function make(
  t: ExecutionContext,
  work: Workplace,
  out: string,
  more: readonly string[] = [],
  env: Record<string, string> = { CUTOVER_MASK_KEY: KEY },
  database = people,
): Promise<Told> {
  const words = ['fixture', 'from', '${SOURCE_URL}', '--out', out, '--json', ...more];
  const { code, out: said, err } = await work.cutover(words, { SOURCE_URL: server.url(database), ...env });
  t.is(code, 0, err);
  return JSON.parse(said) as Told;
}

/** Of every file, by its path. */
async function filesOf(folder: string): Promise<Record<string, Buffer>> {
  const found: Record<string, Buffer> = {};
  for (const name of (await readdir(folder, { recursive: true })).sort()) {
    const path = join(folder, name);
    if ((await stat(path)).isFile()) found[name] = await readFile(path);
  }
  return found;
}

async function hashOf(folder: string): Promise<string> {
  const hash = createHash('sha256');
  for (const [name, content] of Object.entries(await filesOf(folder))) hash.update(name).update(content);
  return hash.digest('hex');
}

async function load(on: TestServer, folder: string): Promise<string> {
  const name = await on.database('loaded');
  const connection = await Connection.open(addressOf(on.url(name), 'fixture'), name);
  try {
    await loadFixture(connection, folder);
  } finally {
    await connection.end();
  }
  return name;
}

const CONSTRAINTS = `select conrelid::regclass::text, conname, pg_get_constraintdef(oid) as is, convalidated
  from pg_constraint where connamespace <> 'pg_catalog'::regnamespace and connamespace <> 'information_schema'::regnamespace
    and (contype <> 'f' or conparentid = 0) order by 1, 2`;

test(`a sample holds every key, no personal data, and is the same again${SKIPPED}`, async (t) => {
  const work = await workplace(t);
  const before = await dump(server, people);
  const told = await make(t, work, 'one', ['--sample', '2%', '--seed', '7']);
  t.deepEqual(await dump(server, people), before);
  t.deepEqual(await readdir(work.folder), ['one']);

  const folder = join(work.folder, 'one');
  for (const [name, content] of Object.entries(await filesOf(folder)))
    for (const word of NEVER) t.false(content.includes(word), `${word} in ${name}`);

  await make(t, work, 'again', ['--sample', '2%', '--seed', '7']);
  await make(t, work, 'other', ['--sample', '2%', '--seed', '8']);
  await make(t, work, 'keyless', ['--sample', '2%', '--seed', '7'], {});
  const hashes = await Promise.all(
    ['one', 'again', 'other', 'keyless'].map((name) => hashOf(join(work.folder, name))),
  );
  t.is(hashes[1], hashes[0]);
  t.is(new Set(hashes).size, 3);
  t.not(await hashOf(join(work.folder, 'other/rows')), await hashOf(join(folder, 'rows')));

  const loaded = await load(server, folder);
  t.deepEqual(await server.sql(CONSTRAINTS, loaded), await server.sql(CONSTRAINTS, people));
  const of = Object.fromEntries(told.tables.map(({ table, taken }) => [table, taken]));
  for (const [table, least, most] of [
    ['select.order', 100, 600],
    ['"Mixed ""Case"" ünï"."lines, of orders"', 60, 200],
    ['public.departments', 10, 200],
    ['public.loose', 1, 400],
    ['public.inbox_0', 150, 250],
    ['public.broken', 4, 4],
  ] as const)
    t.true(of[table]! >= least && of[table]! <= most, `${table}: ${of[table]}`);
  const [counted] = await server.sql<{ n: string }>('select count(*) as n from customers', loaded);
  t.is(Number(counted!.n), of['public.customers']!);
  t.true(told.left.some((line) => line.startsWith('what 1 key of public.broken refer to')));
  t.true(
    told.left.some((line) => line.startsWith('what 1 key of public.chain refer to')),
    told.left.join('\n'),
  );
  t.true(told.left.includes('1 large object'));
  t.true(told.left.includes('the rows of the foreign table public.afar'));
  t.regex(told.next, /^cutover rehearse playbook\.yml --fixture one --pg 15$/);

  const [facts] = await server.sql(
    `select (select bool_and(email_length = length(email)) from customers) as generated,
       (select count(*) from totals) = (select count(distinct customer) from "select"."order") as refreshed,
       (select count(*) > 0 from largest) as deeper, (select last_value from "odd ""seq") as sequence,
       (select count(*) from guarded) as guarded, (select polroles::regrole[]::text from pg_policy) as roles,
       (select count(*) from customers where balance <> 0) as balances,
       (select count(*) from events e join event_marks m on (m.at, m.event) = (e.at, e.id)) = (select count(*) from event_marks) as marks,
       (select count(*) > 10 and count(*) < 200 from visits) as visits,
       (select nextval(pg_get_serial_sequence('customers', 'id'))) as next`,
    loaded,
  );
  t.like(facts, {
    generated: true,
    refreshed: true,
    deeper: true,
    sequence: '6',
    guarded: '1',
    balances: '0',
  });
  t.like(facts, { roles: `{"\\"${ROLE}\\""}`, marks: true, visits: true, next: '5001' } as never);
});

test(`a server for tests proves it as well, and is left as it was${SKIPPED}`, async (t) => {
  const work = await workplace(t);
  const newest = await testServer();
  t.teardown(() => newest.stop());
  const there = async (): Promise<unknown> =>
    newest.sql('select datname as name from pg_database union select rolname from pg_roles order by 1');
  const before = await there();
  await make(t, work, 'here');
  const env = { CUTOVER_MASK_KEY: KEY, TEST_URL: newest.url() };
  const { next } = await make(t, work, 'there', ['--server', '${TEST_URL}'], env);
  t.deepEqual(await there(), before);
  t.is(await hashOf(join(work.folder, 'there')), await hashOf(join(work.folder, 'here')));
  t.is(next, "cutover rehearse playbook.yml --fixture there --server '${TEST_URL}'");
});

test(`a playbook is rehearsed on it${SKIPPED}`, async (t) => {
  const work = await workplace(t);
  await make(t, work, 'sample', [], {});
  await work.file('V001__tier.sql', 'alter table public.customers add column tier int;\n');
  await work.file(
    'playbook.yml',
    `version: 1\nname: people\nblue: \${DATABASE_URL}\nmigrate:\n  - sql: { directory: . }\nverify: [checksums, sequences]\nswitch: { targets: [database-rename] }\n`,
  );
  const words = ['rehearse', 'playbook.yml', '--fixture', 'sample', '--pg', '15', '--json'];
  assertKept(t, await work.cutover(words), CLOSED);
});

test(`what is kept arrives to the letter, under the oddest names${SKIPPED}`, async (t) => {
  const work = await workplace(t);
  const odd = await server.database('Odd "Shop" ñ');
  await loadOdd(server, odd, 'odd-names');
  const keep =
    '"Mixed ""Case"" ünï"."All Types 🐘".address,"Mixed ""Case"" ünï"."All Types 🐘".addresses,"Row Secrets".secret';
  const { masked } = await make(t, work, 'odd', ['--keep', keep], {}, odd);
  t.deepEqual(masked, []);
  // On the newest server as well: who has one need not have the other.
  const newest = await testServer();
  t.teardown(() => newest.stop());
  for (const on of [server, newest]) {
    const loaded = await load(on, join(work.folder, 'odd'));
    const { code, out } = await work.cutover(
      ['compare', '${ONE}', '${OTHER}', '--checks', 'row-counts,checksums,sequences'],
      { ONE: server.url(odd), OTHER: on.url(loaded) },
    );
    // Large objects are left out, which is told; everything else is there.
    t.is(code, 5, out);
    t.deepEqual(
      out.match(/^✖ .*/gm),
      ['✖ checksums: the large objects differ: 2 large objects on blue, 0 on green'],
      out,
    );
  }
});
