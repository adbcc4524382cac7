import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { startCluster } from '../src/databases/postgres/embedded/cluster.ts';
import { embeddedBinaries } from '../src/databases/postgres/embedded/binaries.ts';
import { workplace, type Outcome, type Workplace } from './helpers/cli.ts';
import { dump } from './helpers/dump.ts';
import { fixtureDatabase, fixtureFolder } from './helpers/fixture.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server.stop());

interface Scene {
  readonly t: ExecutionContext;
  readonly work: Workplace;
  readonly shop: string;
  readonly url: string;
  readonly before: readonly string[];
  /** Writes the playbook around these lines and runs it. */
  run(lines: string, env?: Record<string, string>): Promise<Outcome>;
}

async function scene(t: ExecutionContext, on: TestServer = server): Promise<Scene> {
  const work = await workplace(t);
  const shop = await fixtureDatabase(on, 'shopping-points');
  const url = on.url(shop);
  await cp(fixtureFolder('shopping-points'), join(work.folder, 'fixture'), { recursive: true });
  return {
    t,
    work,
    shop,
    url,
    before: await dump(on, shop),
    async run(lines, env = {}) {
      await work.file(
        'playbook.yml',
        `version: 1\nname: shop\nblue: \${DATABASE_URL}\ngreen: ${shop}_green\n${lines}\nswitch: { targets: [database-rename] }\ngate: open\n`,
      );
      return work.cutover(['run', 'playbook.yml'], { DATABASE_URL: url, ...env });
    },
  };
}

/** Blue is as it was, to the letter, takes writes, and nothing else is there. */
async function assertUntouched({ t, shop, before }: Scene, on: TestServer = server): Promise<void> {
  t.deepEqual(await dump(on, shop), before);
  await on.sql(
    `insert into users select * from users where false; create table proof (id int); drop table proof`,
    shop,
  );
  const left = await on.sql<{ name: string }>(
    `select datname as name from pg_database where datname like '${shop}%' or datname like 'cutover\\_%' order by 1`,
  );
  t.deepEqual(
    left.filter(({ name }) => name !== shop && name.startsWith(shop)),
    [],
  );
  const sessions = await on.sql(
    `select pid from pg_stat_activity where datname like '${shop}%' and application_name like 'cutover%'`,
  );
  t.deepEqual(sessions, []);
}

const MIGRATIONS = 'migrate: [sql: { directory: fixture/migrations }]\n';
const EXPECT = `expect:
  renamed: { public.shops.plan: public.shops.tier_name, public.scrape_logs: public.scrape_runs }
  changed: [public.shop_main.click_count, public.shop_variants.landing_url]
`;

test('bad SQL in the third migration: exit 4, the line in the file, everything put back', async (t) => {
  const it = await scene(t);
  const { code, err } = await it.run('migrate: [sql: { directory: fixture/broken-migrations }]');
  t.is(code, 4, err);
  t.regex(err, /V003__score_shops\.sql:8:\d+/);
  t.regex(err, /42703/);
  t.regex(err, /accepts connections/);
  t.regex(err, /Next/);
  await assertUntouched(it);
  t.regex((await it.work.cutover(['status'])).out, /unwound/);
});

test('a failed check: exit 5, and the check says what it found', async (t) => {
  const it = await scene(t);
  const { code, err } = await it.run(
    `${MIGRATIONS}${EXPECT}verify: [sql: { query: select count(*) from tiers, equals: 4 }]`,
  );
  t.is(code, 5, err);
  t.regex(err, /select count\(\*\) from tiers[^]*Next/);
  await assertUntouched(it);
});

test('a failed command check: exit 5, with its last words', async (t) => {
  const it = await scene(t);
  const { code, err } = await it.run(
    `${MIGRATIONS}${EXPECT}verify: [command: { run: "echo the smoke test is not amused; exit 3" }]`,
  );
  t.is(code, 5, err);
  t.regex(err, /the smoke test is not amused/);
  await assertUntouched(it);
});

test('a row that was tampered with on green between migrate and verify is found', async (t) => {
  const it = await scene(t);
  const columns = await server.sql<{ column_name: string }>(
    `select column_name from information_schema.columns where table_name = 'users' and data_type in ('text', 'character varying') and column_name <> 'id'`,
    it.shop,
  );
  const column = columns[0]!.column_name;
  await it.work.file(
    'tamper.mjs',
    `import { createRequire } from 'node:module';
const { Client } = createRequire(${JSON.stringify(import.meta.url)})('pg');
const client = new Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
const { rowCount } = await client.query("update users set ${column} = ${column} || ' '");
if (rowCount !== 1) process.exit(9);
await client.end();
`,
  );
  const found = await it.run(
    `migrate:\n  - sql: { directory: fixture/migrations }\n  - command: { run: "${process.execPath} tamper.mjs" }\n${EXPECT}`,
  );
  t.is(found.code, 5, found.err);
  t.regex(found.err, new RegExp(`public\\.users[^]*${column}`));
  await assertUntouched(it);
});

test('a name that is taken: exit 3 before anything is touched', async (t) => {
  const it = await scene(t);
  await server.sql(`create database ${it.shop}_previous`);
  const { code, err } = await it.run(MIGRATIONS + EXPECT);
  t.is(code, 3, err);
  t.regex(err, new RegExp(`there is a database ${it.shop}_previous already`));
  await server.sql(`drop database ${it.shop}_previous`);
  await assertUntouched(it);
  t.regex((await it.work.cutover(['status'])).out, /refused/);
});

test('no right to create databases: exit 3, and the statement that mends it', async (t) => {
  const it = await scene(t);
  const role = `clerk_${it.shop}`;
  await server.sql(
    `create role ${role} login password 'walrus-7' in role pg_signal_backend, pg_read_all_data`,
  );
  await server.sql(`grant all on database ${it.shop} to ${role}`);
  const url = it.url.replace(/\/\/[^@]*@/, `//${role}:walrus-7@`);
  const before = await dump(server, it.shop);
  const { code, err } = await it.run(MIGRATIONS + EXPECT, { DATABASE_URL: url });
  t.is(code, 3, err);
  t.regex(err, new RegExp(`may not create databases[^]*ALTER ROLE "${role}" CREATEDB`));
  t.notRegex(err, /walrus-7/);
  await assertUntouched({ ...it, before });
});

test('no server there: exit 3; a wrong database: exit 3; a wrong password: exit 3', async (t) => {
  const it = await scene(t);
  const nowhere = await it.run(MIGRATIONS, { DATABASE_URL: 'postgresql://postgres@127.0.0.1:1/shop' });
  t.is(nowhere.code, 3, nowhere.err);
  t.regex(nowhere.err, /cannot connect[^]*127\.0\.0\.1:1/);
  const missing = await it.run(MIGRATIONS, { DATABASE_URL: server.url('no_such_shop') });
  t.is(missing.code, 3, missing.err);
  const wrong = await it.run(MIGRATIONS, { DATABASE_URL: it.url.replace(/:[^:@/]+@/, ':wrong-one@') });
  t.is(wrong.code, 3, wrong.err);
  t.notRegex(wrong.err, /wrong-one/);
  await assertUntouched(it);
});

test('a name that is taken while the clone is made: exit 4, and the copy under way is gone', async (t) => {
  const it = await scene(t);
  // The migrations make the name of the previous copy appear in the middle of the run.
  const { code, err } = await it.run(
    `migrate: [command: { run: "${process.execPath} take.mjs", variable: COPY }]`,
    await take(it),
  );
  t.is(code, 4, err);
  t.regex(err, new RegExp(`${it.shop}_previous is taken`));
  await server.sql(`drop database ${it.shop}_previous`);
  await assertUntouched(it);
});

async function take({ work, shop }: Scene): Promise<Record<string, string>> {
  await work.file(
    'take.mjs',
    `import { createRequire } from 'node:module';
const { Client } = createRequire(${JSON.stringify(import.meta.url)})('pg');
const client = new Client({ connectionString: process.env.MAINTENANCE });
await client.connect();
await client.query('create database ${shop}_previous');
await client.end();
`,
  );
  return { MAINTENANCE: server.url() };
}

/** Waits for the migration that sleeps, as long as there is a run that may come to it. */
async function sleeping(own: TestServer, running: Promise<Outcome>): Promise<void> {
  let ended: Outcome | undefined;
  void running.then((outcome) => (ended = outcome));
  const asleep = `select 1 from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid()`;
  while ((await own.sql(asleep)).length === 0) {
    if (ended) throw new Error(`the run ended before its migration slept:\n${ended.err}`);
    await sleep(50);
  }
}

const slowMigration = (seconds: number): string => `select pg_sleep(${seconds});\n`;

test('the server goes away in the middle and comes back: the run puts everything back, exit 4', async (t) => {
  const own = await testServer();
  try {
    const it = await scene(t, own);
    const { mkdir } = await import('node:fs/promises');
    await mkdir(join(it.work.folder, 'slow'));
    await it.work.file('slow/V001__slow.sql', slowMigration(60));
    const running = it.run('migrate: [sql: { directory: slow }]');
    await sleeping(own, running);
    process.kill(own.cluster.pid, 'SIGQUIT');
    await sleep(1500);
    const again = await startCluster({
      binaries: await embeddedBinaries(),
      home: own.cluster.folder,
      settings: { fsync: 'off' },
    });
    t.is(again.port, own.cluster.port);
    const { code, err } = await running;
    t.is(code, 4, err);
    t.regex(err, /lost|terminated|closed/i);
    await assertUntouched(it, own);
    await again.stop();
  } finally {
    await own.stop();
  }
});

test('the server goes away and stays away: exit 7 says what is known, and abort puts everything back later', async (t) => {
  const own = await testServer();
  try {
    const it = await scene(t, own);
    const { mkdir } = await import('node:fs/promises');
    await mkdir(join(it.work.folder, 'slow'));
    await it.work.file('slow/V001__slow.sql', slowMigration(60));
    const running = it.run('migrate: [sql: { directory: slow }]');
    await sleeping(own, running);
    process.kill(own.cluster.pid, 'SIGQUIT');
    const { code, err } = await running;
    t.is(code, 7, err);
    t.regex(err, /not known, the server does not answer/);
    t.regex(err, /cutover abort \d{8}-\d{6}-/);
    const again = await startCluster({
      binaries: await embeddedBinaries(),
      home: own.cluster.folder,
      settings: { fsync: 'off' },
    });
    t.regex((await it.work.cutover(['status'])).out, /stuck[^]*cutover abort/);
    const closed = await it.work.cutover(['run', 'playbook.yml'], { DATABASE_URL: it.url });
    t.is(closed.code, 3, closed.err);
    t.regex(closed.err, /does not accept connections[^]*cutover abort/);
    const run = /cutover abort (\S+)/.exec(err)![1]!;
    const aborted = await it.work.cutover(['abort', run], { DATABASE_URL: it.url });
    t.is(aborted.code, 0, aborted.err);
    await assertUntouched(it, own);
    t.regex((await it.work.cutover(['status', run])).out, /unwound/);
    await again.stop();
  } finally {
    await own.stop();
  }
});
