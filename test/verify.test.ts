import ava from 'ava';
import { eventsOf, workplace } from './helpers/cli.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { until } from './helpers/until.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

const { test, title, server, scene } = liveSuite();
let plain: TestServer;
ava.before(async () => void (plain = await testServer()));
ava.after.always(() => plain?.stop());

const PLAYBOOK = `version: 1
name: shop
blue: \${DATABASE_URL}
migrate: [sql: { directory: . }]
verify: [schema, row-counts, checksums, sequences]
expect: { dropped: [public.old], renamed: { public.items.label: public.items.name } }
switch: { targets: [database-rename] }
gate: open
`;

ava.serial('a playbook is held against two databases that somebody has made', async (t) => {
  const work = await workplace(t);
  await work.file('playbook.yml', PLAYBOOK);
  await work.file('V001__x.sql', 'select 1;\n');
  const blue = await plain.database('shop');
  await plain.sql(
    `create table old (id int); create table items (id int primary key, label text); insert into items values (1, 'a'), (2, 'b')`,
    blue,
  );
  const env = { DATABASE_URL: plain.url(blue) };
  const missing = await work.cutover(['verify', 'playbook.yml'], env);
  t.is(missing.code, 3, missing.err);
  t.regex(missing.err, new RegExp(`${blue}_green is not there`));
  await plain.sql(`create database ${blue}_green template ${blue}`);
  await plain.sql('drop table old; alter table items rename label to name', `${blue}_green`);
  const same = await work.cutover(['verify', 'playbook.yml', '--jobs', '1'], env);
  t.is(same.code, 0, same.out + same.err);
  await plain.sql(`update items set name = 'c' where id = 2`, `${blue}_green`);
  const different = await work.cutover(['verify', 'playbook.yml', '--tables', 'items', '--quiet'], env);
  t.is(different.code, 5, different.err);
  t.regex(different.out, /items differs in label: 2 rows on blue, 2 rows on green/);
  await work.file('none.yml', PLAYBOOK.replace(/^verify.*$/m, 'verify: []'));
  t.is((await work.cutover(['verify', 'none.yml'], env)).code, 2);
});

test(
  title('while clients write: no false alarm in 20 goes, and a row that is altered is named'),
  async (t) => {
    const { ledger, work, cutover, env, blue, green } = await scene(t);
    ledger.start();
    const playbook = await (await import('node:fs/promises')).readFile(`${work.folder}/playbook.yml`, 'utf8');
    await work.file('playbook.yml', playbook.replace('gate: open', 'gate: { timeout: 2m }'));
    const { done } = work.start(['run', 'playbook.yml'], env);
    await until('the gate', async () =>
      (await eventsOf(work).catch(() => [])).some(({ type }) => type === 'gate-opened'),
    );
    const proved = async (goes: number): Promise<void> => {
      for (let count = 0; count < goes; count += 1) {
        const { code, out, err } = await cutover(['verify', 'playbook.yml']);
        t.is(code, 0, `${count}\n${out}${err}`);
        t.regex(out, /compared as of one moment, for which writers to (blue|green) waited/);
      }
    };
    // Of rows that nobody writes any more; others would be mended by the next change that arrives.
    const altered = async (on: { name: string }): Promise<void> => {
      await server().sql(
        `set session_replication_role = replica; update entries set body = 'altered' where id = (select min(id) from entries)`,
        on.name,
      );
      const [row] = await server().sql(`select id from entries where body = 'altered'`, on.name);
      const { code, out } = await cutover(['verify', 'playbook.yml']);
      t.is(code, 5, out);
      t.regex(out, /entries differs in body: ([\d,]+) rows on blue, \1 rows on green\n/);
      t.regex(out, new RegExp(`^ +id=${row!['id']}: body differs$`, 'm'));
      await server().sql(
        `set session_replication_role = replica; update entries set body = repeat('x', 50) where body = 'altered'`,
        on.name,
      );
    };
    await proved(10);
    // It gives way to others while it holds a snapshot of either side, and what it finds is the same.
    const others = await Promise.all(Array.from({ length: 30 }, () => server().connect()));
    const asleep = others.map((session) => session.query('select pg_sleep(600)').catch(() => undefined));
    const giving = work.start(['verify', 'playbook.yml', '--max-active', '29'], env);
    let heard = '';
    giving.child.stderr!.on('data', (chunk: string) => (heard += chunk));
    await until('the word that it waits', () => /waiting since .* more than 29$/m.test(heard));
    await server().sql(`select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'`);
    await Promise.all(asleep);
    const gave = await giving.done;
    t.is(gave.code, 0, gave.out + gave.err);
    t.regex(gave.out, /waited .* in all, because more than 29 sessions of others are active/);
    await Promise.all(others.map((session) => session.end()));
    await altered(green);
    t.is((await cutover(['approve'])).code, 0);
    const ran = await done;
    t.is(ran.code, 0, ran.err);
    // The other way round: the previous copy follows.
    await proved(10);
    await altered(blue);
    await proved(1);
    const { errors } = await ledger.stop();
    t.deepEqual(errors, []);
    t.deepEqual(await ledger.problems(server(), green.name), []);
  },
);
