import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import type { Event } from '../src/core/event.ts';
import { workplace, type Workplace } from './helpers/cli.ts';
import { dump } from './helpers/dump.ts';
import { fixtureDatabase, fixtureFolder, readFixture } from './helpers/fixture.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';

const servers = new Map<number, TestServer>();
test.before(async () => {
  for (const major of majors()) servers.set(major, await testServer(major));
});
test.after.always(() => Promise.all([...servers.values()].map((server) => server.stop())));

const pgDump = '/usr/lib/postgresql/15/bin/pg_dump';

/** The quickstart's playbook for a database that is there. */
async function shopPlaybook(work: Workplace, green: string, more = ''): Promise<string> {
  const migrations = join(fixtureFolder('shopping-points'), 'migrations');
  return work.file(
    'playbook.yml',
    `version: 1
name: shop
blue: \${DATABASE_URL}
green: ${green}
migrate:
  - sql: { directory: ${migrations} }
expect:
  renamed: { public.shops.plan: public.shops.tier_name, public.scrape_logs: public.scrape_runs }
  changed: [public.shop_main.click_count, public.shop_variants.landing_url]
switch:
  targets:
    - database-rename
${more}`,
  );
}

const names = async (server: TestServer): Promise<string[]> =>
  (await server.sql<{ name: string }>('select datname as name from pg_database order by 1')).map(
    ({ name }) => name,
  );

async function pgDumpOf(server: TestServer, database: string): Promise<string> {
  const { stdout } = await promisify(execFile)(pgDump, [server.url(database)], { maxBuffer: 1 << 28 });
  // The only lines that differ from one dump of the same database to the next.
  return stdout.replaceAll(/^\\(un)?restrict .*$/gm, '');
}

async function wholeWay(t: ExecutionContext, server: TestServer, physical: boolean): Promise<void> {
  const work = await workplace(t);
  const shop = await fixtureDatabase(server, 'shopping-points');
  await server.sql(`comment on database ${shop} is 'the shop''s own comment'`);
  await server.sql(`alter database ${shop} set statement_timeout to '1min'`);
  await server.sql(
    `alter role postgres in database ${shop} set search_path to "$user", public, "Odd, Schema"`,
  );
  await server.sql(
    `revoke connect on database ${shop} from public; grant connect on database ${shop} to pg_monitor`,
  );
  const env = { DATABASE_URL: server.url(shop) };
  const playbook = await shopPlaybook(work, `${shop}_green`);
  const before = await dump(server, shop);
  const physicalBefore = physical ? await pgDumpOf(server, shop) : '';

  const run = await work.cutover(['run', playbook, '--yes'], env);
  t.is(run.code, 0, run.err);
  t.regex(run.err, /completed/);
  t.true((await names(server)).includes(`${shop}_previous`));
  const { rows } = await readFixture('shopping-points');
  let total = 0;
  for (const [table, expected] of Object.entries(rows)) {
    const name = table.replace('scrape_logs', 'scrape_runs');
    const [row] = await server.sql<{ count: string }>(`select count(*) from ${name}`, shop);
    t.is(Number(row!.count), expected, table);
    total += expected;
  }
  t.is(total, 3351);
  t.deepEqual(await server.sql(`select tier_name from shops where tier_id is null`, shop), []);
  const carried = (await dump(server, shop)).filter((line) => /^(database|grant|setting)/.test(line));
  t.deepEqual(
    carried,
    before.filter((line) => /^(database|grant|setting)/.test(line)),
    'what a template leaves behind',
  );
  await t.throwsAsync(server.connect(`${shop}_previous`), { message: /not currently accepting connections/ });

  const status = await work.cutover(['status']);
  t.is(status.code, 0);
  t.regex(status.out, /completed[^]*swap-back/);

  const back = await work.cutover(['swap-back', '--yes'], env);
  t.is(back.code, 0, back.err);
  t.regex(back.err, /Nothing was written since the switch/);
  t.deepEqual(await dump(server, shop), before);
  if (physical) t.is(await pgDumpOf(server, shop), physicalBefore);
  await server.sql(`insert into users select * from users where false`, shop);

  const unnamed = await work.cutover(['retire'], env);
  t.is(unnamed.code, 3);
  const wrong = await work.cutover(['retire', '--confirm', shop], env);
  t.is(wrong.code, 3, wrong.err);
  t.true((await names(server)).includes(`${shop}_green`));
  const retired = await work.cutover(['retire', '--confirm', `${shop}_green`], env);
  t.is(retired.code, 0, retired.err);
  t.deepEqual(
    (await names(server)).filter((name) => name.startsWith(shop)),
    [shop],
  );
  t.deepEqual(await dump(server, shop), before);
}

for (const major of majors()) {
  test(`run, status, swap back and retire on PostgreSQL ${major}: every row is there, and comes back as it was`, async (t) => {
    const physical = major === 15 && existsSync(pgDump);
    if (major === 15 && !physical)
      t.log('SKIPPED: pg_dump 15 is not installed; compared with our own dump only');
    await wholeWay(t, servers.get(major)!, physical);
  });

  test(`odd names all the way on PostgreSQL ${major}`, async (t) => {
    const server = servers.get(major)!;
    const work = await workplace(t);
    const odd = await fixtureDatabase(server, 'odd-names', 'Odd "Shop" ñ');
    const playbook = await work.file(
      'playbook.yml',
      `version: 1
name: odd
blue: \${DATABASE_URL}
migrate: [sql: { directory: ${join(fixtureFolder('odd-names'), 'migrations')} }]
switch: { targets: [database-rename] }
gate: open
`,
    );
    const env = { DATABASE_URL: server.url(odd) };
    const before = await dump(server, odd);
    const run = await work.cutover(['run', playbook], env);
    t.is(run.code, 0, run.err);
    const rows = before.filter((line) => line.startsWith('row of')).length;
    t.true((await dump(server, odd)).length > before.length);
    t.true(rows > 30);
    const back = await work.cutover(['swap-back', '--yes'], env);
    t.is(back.code, 0, back.err);
    t.deepEqual(await dump(server, odd), before);
  });
}

const server18 = (): TestServer => servers.get(18)!;

test('rows written after the switch are counted, and a swap back without a word about them is refused', async (t) => {
  const work = await workplace(t);
  const server = server18();
  const shop = await fixtureDatabase(server, 'shopping-points');
  const env = { DATABASE_URL: server.url(shop) };
  const playbook = await shopPlaybook(work, `${shop}_green`);
  t.is((await work.cutover(['run', playbook, '--yes'], env)).code, 0);
  await server.sql(`insert into tiers (id, code, monthly_eur) values (77, 'new', 1), (78, 'newer', 2)`, shop);
  await server.sql(
    `delete from favourites; update bonus_programs set name = name where id = (select min(id) from bonus_programs)`,
    shop,
  );

  const refused = await work.cutover(['swap-back', '--yes'], env);
  t.is(refused.code, 3, refused.err);
  t.regex(refused.err, /2 rows inserted or updated in public\.tiers/);
  t.regex(refused.err, /1 row inserted or updated in public\.bonus_programs/);
  t.regex(refused.err, /--accept-data-loss/);
  await server.sql(`insert into tiers (id, code, monthly_eur) values (79, 'still live', 1)`, shop);

  const accepted = await work.cutover(['swap-back', '--yes', '--accept-data-loss'], env);
  t.is(accepted.code, 0, accepted.err);
  t.regex(accepted.err, /3 rows inserted or updated in public\.tiers/);
  // What was written stays in the copy until it is retired.
  await server.sql(`alter database ${shop}_green with allow_connections true`);
  t.is((await server.sql(`select * from tiers where id in (77, 78, 79)`, `${shop}_green`)).length, 3);
});

test('a second run migrates what is new, and knows its own version table', async (t) => {
  const work = await workplace(t);
  const server = server18();
  const shop = await fixtureDatabase(server, 'shopping-points');
  const env = { DATABASE_URL: server.url(shop) };
  const playbook = await shopPlaybook(work, `${shop}_green`);
  t.is((await work.cutover(['run', playbook, '--yes'], env)).code, 0);
  const taken = await work.cutover(['run', playbook, '--yes'], env);
  t.is(taken.code, 3);
  t.regex(taken.err, new RegExp(`${shop}_previous is the previous copy that run .* keeps[^]*cutover retire`));
  t.is((await work.cutover(['retire', '--confirm', `${shop}_previous`], env)).code, 0);

  await work.file('V007__add_note.sql', 'alter table tiers add column note text;\n');
  const { cp } = await import('node:fs/promises');
  await cp(join(fixtureFolder('shopping-points'), 'migrations'), join(work.folder, 'migrations'), {
    recursive: true,
  });
  await cp(join(work.folder, 'V007__add_note.sql'), join(work.folder, 'migrations', 'V007__add_note.sql'));
  const second = await work.file(
    'second.yml',
    `version: 1
name: second
blue: \${DATABASE_URL}
green: ${shop}_green
migrate: [sql: { directory: migrations }]
switch: { targets: [database-rename] }
`,
  );
  const run = await work.cutover(['run', second, '--yes'], env);
  t.is(run.code, 0, run.err);
  t.regex(run.err, /rows not compared: public\.cutover_migrations|V007__add_note/);
  t.deepEqual(await server.sql(`select note from tiers limit 1`, shop), [{ note: null }] as never);
});

test('an env-file target flips with its blue, and goes back to the letter', async (t) => {
  const work = await workplace(t);
  const server = server18();
  const shop = await fixtureDatabase(server, 'shopping-points');
  const env = { DATABASE_URL: server.url(shop) };
  const appUrl = server.url(shop).replace('postgresql:', 'postgresql+psycopg2:');
  const before = `# the app\nSECRET_KEY='x y'\nexport DATABASE_URL="${appUrl}?application_name=app" # where\n`;
  const file = await work.file('app.env', before);
  const other = await work.file('worker.env', `SHOP_SCHEMA=0.1\n`);
  const playbook = (await shopPlaybook(work, `${shop}_green`)).replace(/.*\//, '');
  const text = readFileSync(join(work.folder, playbook), 'utf8').replace(
    '    - database-rename\n',
    `    - env-file: { path: app.env }\n    - env-file: { path: worker.env, variable: SHOP_SCHEMA, blue: "0.1", green: "0.2" }\n`,
  );
  await work.file('playbook.yml', text);
  const run = await work.cutover(['run', 'playbook.yml', '--yes'], env);
  t.is(run.code, 0, run.err);
  t.is(readFileSync(file, 'utf8'), before.replace(`/${shop}?`, `/${shop}_green?`));
  t.is(readFileSync(other, 'utf8'), 'SHOP_SCHEMA=0.2\n');
  await t.throwsAsync(server.connect(shop), { message: /not currently accepting/ });
  const back = await work.cutover(['swap-back', '--yes'], env);
  t.is(back.code, 0, back.err);
  t.is(readFileSync(file, 'utf8'), before);
  t.is(readFileSync(other, 'utf8'), 'SHOP_SCHEMA=0.1\n');
  await (await server.connect(shop)).end();
});

test('--json prints the journal, event by event, and nothing else on standard output', async (t) => {
  const work = await workplace(t);
  const server = server18();
  const shop = await fixtureDatabase(server, 'shopping-points');
  const playbook = await shopPlaybook(work, `${shop}_green`);
  const run = await work.cutover(['run', playbook, '--yes', '--json'], { DATABASE_URL: server.url(shop) });
  t.is(run.code, 0, run.err);
  const events = run.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Event);
  const [id] = events.map((event) => (event.type === 'run-created' ? event.run : '')).filter(Boolean);
  t.is(run.out, readFileSync(join(work.folder, '.cutover/runs', id!, 'journal.jsonl'), 'utf8'));
  t.deepEqual(
    events.map(({ seq }) => seq),
    events.map((_, index) => index + 1),
  );
  t.is(events.at(-1)!.type, 'run-finished');
  // Each effect stands between its event before and its event after.
  const order = events.map((event) => ('step' in event ? `${event.type} ${event.step}` : event.type));
  t.true(order.indexOf('step-started switch') < order.indexOf('ownership-moved'));
  t.true(order.indexOf('ownership-moved') < order.indexOf('step-succeeded switch'));
});

test('a plan has the same fingerprint as long as playbook, migrations and schema are the same, and changes nothing', async (t) => {
  const work = await workplace(t);
  const server = server18();
  const shop = await fixtureDatabase(server, 'shopping-points');
  const env = { DATABASE_URL: server.url(shop) };
  const playbook = await shopPlaybook(work, `${shop}_green`);
  const before = await dump(server, shop);
  const plan = async (): Promise<{ fingerprint: string; steps: { ownership: string; kind: string }[] }> => {
    const { code, out, err } = await work.cutover(['plan', playbook, '--json'], env);
    t.is(code, 0, err);
    return JSON.parse(out) as never;
  };
  const first = await plan();
  t.is((await plan()).fingerprint, first.fingerprint);
  t.deepEqual(
    first.steps.filter(({ ownership }) => ownership === 'moves').map(({ kind }) => kind),
    ['switch'],
  );
  t.deepEqual(await dump(server, shop), before);
  await server.sql('create table extra (id int)', shop);
  t.not((await plan()).fingerprint, first.fingerprint);
  t.false(existsSync(join(work.folder, '.cutover')));
  const text = await work.cutover(['plan', playbook], env);
  t.regex(text.out, /ownership moves here/);
  t.regex(text.out, /sync: none/);
  t.notRegex(text.out + JSON.stringify(first), new RegExp(new URL(env.DATABASE_URL).password));
});
