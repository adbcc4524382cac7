import { join } from 'node:path';
import ava from 'ava';
import { Client } from 'pg';
import { GenericContainer, Wait } from 'testcontainers';
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { root, workplace } from './helpers/cli.ts';
import { NEEDS_ENGINE } from './helpers/engine.ts';

const test = ava.serial;
const IMAGE = 'postgres:15';
const PASSWORD = 'heron-5151';

const container = NEEDS_ENGINE
  ? undefined
  : await new GenericContainer(IMAGE)
      .withEnvironment({ POSTGRES_PASSWORD: PASSWORD, POSTGRES_DB: 'shop' })
      .withExposedPorts(5432)
      .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
      .start();
test.after.always(async () => {
  await container?.stop();
});

(container ? test : test.skip)(`the whole way on a server in a container${NEEDS_ENGINE}`, async (t) => {
  const url = `postgresql://postgres:${PASSWORD}@${container!.getHost()}:${container!.getMappedPort(5432)}/shop`;
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(
    `create table shops (id int primary key, name text); insert into shops values (1, 'Müller'), (2, null)`,
  );
  await client.end();
  const work = await workplace(t);
  await work.file('V001__add_tier.sql', 'alter table shops add column tier text not null default 1;\n');
  const playbook = await work.file(
    'playbook.yml',
    'version: 1\nname: shop\nblue: ${DATABASE_URL}\nmigrate: [sql: { directory: . }]\nswitch: { targets: [database-rename] }\ngate: open\n',
  );
  const run = await work.cutover(['run', playbook], { DATABASE_URL: url });
  t.is(run.code, 0, run.err);
  const database = new Postgres({ url, run: 'look' });
  await database.bindByName('blue', 'shop');
  const reader = await database.reader('blue');
  t.deepEqual(await reader.query('select id, name, tier from shops order by id'), [
    { id: '1', name: 'Müller', tier: '1' },
    { id: '2', name: null, tier: '1' },
  ]);
  await database.end();
  const back = await work.cutover(['swap-back', '--yes'], { DATABASE_URL: url });
  t.is(back.code, 0, back.err);
});

(container ? test : test.skip)(
  `a rehearsal on a server for tests that is there, in a container${NEEDS_ENGINE}`,
  async (t) => {
    const url = `postgresql://postgres:${PASSWORD}@${container!.getHost()}:${container!.getMappedPort(5432)}/postgres`;
    const work = await workplace(t);
    const words = ['rehearse', join(root, 'playbooks/quickstart.yml'), '--server', '${TEST_URL}'];
    const refused = await work.cutover(words, { TEST_URL: url });
    t.is(refused.code, 3, refused.err);
    t.regex(refused.err, /the server of --server holds a database shop/);
    const client = new Client({ connectionString: url });
    await client.connect();
    const databases = async (): Promise<string[]> =>
      (await client.query<{ datname: string }>('select datname from pg_database order by 1')).rows.map(
        ({ datname }) => datname,
      );
    for (const name of (await databases()).filter((each) => each.startsWith('shop')))
      await client.query(`drop database "${name}" with (force)`);
    const before = await databases();
    const { code, out, err } = await work.cutover(words, { TEST_URL: url });
    t.is(code, 0, err + out);
    t.regex(out, /PostgreSQL 15\.[^]*Verdict: every promise was kept here/);
    t.deepEqual(await databases(), before);
    const roles = await client.query(`select 1 from pg_roles where rolname like 'cutover%'`);
    t.is(roles.rowCount, 0);
    await client.end();
  },
);
