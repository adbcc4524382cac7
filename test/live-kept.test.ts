import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { liveSuite } from './helpers/live-suite.ts';
import { appears, until } from './helpers/until.ts';

const { test, title, server, scene, leftovers } = liveSuite();

// The fence

test(
  title(
    'after the switch nobody writes to the previous copy: the owner, a superuser, a session that says read write',
  ),
  async (t) => {
    const { cutover, blue } = await scene(t, {});
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    const app = new Client({
      connectionString: server()
        .url(blue.name)
        .replace(/\/\/[^@]*@/, '//app:app-word@'),
    });
    app.on('error', () => undefined);
    await t.throwsAsync(app.connect(), { message: /too many connections/ });
    const superuser = await server().connect(blue.name);
    for (const sql of [
      `insert into entries values ('a', 1, '')`,
      'begin read write; update accounts set balance = 0',
      'delete from accounts',
      'truncate states',
      `set default_transaction_read_only = off; insert into numbered (client, tag) values (1, 'x')`,
    ]) {
      await t.throwsAsync(superuser.query(sql), { message: /is fenced by cutover: another one is live/ });
      await superuser.query('rollback');
    }
  },
);

test(
  title('clients that come past PgBouncer are ended, and nothing of theirs is lost or doubled'),
  async (t) => {
    const { cutover, blue, green } = await scene(t, {});
    const direct = await server().connect(blue.name);
    const written: number[] = [];
    let ended = false;
    const writing = (async () => {
      for (let id = 1; ; id += 1) {
        await direct.query(`insert into entries values ($1, 99, '')`, [`direct ${id}`]);
        written.push(id);
      }
    })().catch(() => (ended = true));
    const ran = await cutover(['run', 'playbook.yml']);
    t.is(ran.code, 0, ran.err);
    await writing;
    t.true(ended && written.length > 0);
    const rows = await server().sql('select id from entries where client = 99', green.name);
    // The last one may have been committed without an answer.
    t.true(
      rows.length === written.length || rows.length === written.length + 1,
      `${rows.length} of ${written.length}`,
    );
  },
);

test(title('a long transaction: the switch is refused, or it is ended, as the playbook says'), async (t) => {
  for (const [then, code, statement] of [
    ['refuse', 4, 'select * from accounts limit 1'],
    ['end', 0, 'select * from accounts limit 1'],
    ['refuse', 4, 'update accounts set balance = balance where id = 1'],
    ['end', 0, 'update accounts set balance = balance where id = 1'],
  ] as const) {
    const { blue, work, env } = await scene(t, {
      head: 'sync: logical\nhooks: [{ before: switch, run: "touch at-switch; sleep 2.5" }]',
      lines: `  long-transactions: { wait: 300ms, then: ${then} }\n`,
    });
    const { done } = work.start(['run', 'playbook.yml'], env);
    await appears(join(work.folder, 'at-switch'));
    const slow = await server().connect(blue.name);
    await slow.query(`begin; ${statement}`);
    const ran = await done;
    t.is(ran.code, code, ran.err);
    if (then === 'refuse') t.regex(ran.err, /transactions on shop_\w+ were still open after 300 ms/);
    // One that is ended has gone already; another one would keep the next clone waiting.
    await slow.query('rollback').catch(() => undefined);
  }
});

// Other targets

test(
  title('a rename as the flip, with PgBouncer in front: clients see no error, there and back'),
  async (t) => {
    const { cutover, ledger, blue } = await scene(t, { targets: (own) => [own, 'database-rename'] });
    ledger.start();
    const ran = await cutover(['run', 'playbook.yml']);
    t.is(ran.code, 0, ran.err);
    await sleep(500);
    const back = await cutover(['swap-back', '--yes']);
    t.is(back.code, 0, back.err);
    await sleep(500);
    const again = await cutover(['switch', '--yes']);
    t.is(again.code, 0, again.err);
    await sleep(300);
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await ledger.problems(server(), blue.name), []);
    const retired = await cutover(['retire', '--confirm', `${blue.name}_previous`]);
    t.is(retired.code, 0, retired.err);
    t.deepEqual(await leftovers(blue.name), []);
  },
);

test(title('an env file as the target: clients are ended, reconnect, and lose nothing'), async (t) => {
  const { cutover, work, blue, green } = await scene(t, { targets: () => ['env-file: { path: .env }'] });
  await work.file('.env', `DATABASE_URL=${server().url(blue.name)}\n`);
  await server().sql(`insert into entries values ('before', 1, '')`, blue.name);
  const ran = await cutover(['run', 'playbook.yml']);
  t.is(ran.code, 0, ran.err);
  t.true((await readFile(join(work.folder, '.env'), 'utf8')).includes(green.name));
  await server().sql(`insert into entries values ('after', 1, '')`, green.name);
  t.is((await cutover(['swap-back', '--yes'])).code, 0);
  t.deepEqual(await server().sql('select id from entries order by 1', blue.name), [
    { id: 'after' },
    { id: 'before' },
  ]);
});

// The meter

test(
  title('status says whether one can go back without loss, and the first row that spoils it'),
  async (t) => {
    const { cutover, green } = await scene(t, {
      sql: `create table wide (id int primary key, n int not null, code varchar(3) unique); insert into wide values (1, 1, 'a');`,
      migration:
        'alter table wide alter n type bigint, alter n drop not null, alter code type text, drop constraint wide_code_key; create table fresh (id int primary key)',
      head: 'sync: logical\nexpect: { changed: [public.wide.n, public.wide.code, public.wide], dropped: [public.wide.wide_code_key] }',
    });
    const ran = await cutover(['run', 'playbook.yml']);
    t.is(ran.code, 0, ran.err);
    const good = await cutover(['status']);
    t.regex(good.out, /way back: open and lossless, \d+ B behind/);
    t.regex(
      good.out,
      /columns that only the live side has stays there: public\.accounts\.tier|way back: open and lossless/,
    );
    await server().sql('insert into fresh values (4711)', green.name);
    const fresh = await cutover(['status']);
    t.regex(
      fresh.out,
      /not lossless any more:\n.*public\.fresh: rows in a table that the previous copy does not have, first id = 4711/,
    );
    await server().sql(`insert into wide values (2, 3000000000, 'b')`, green.name);
    await until('the worker to stumble', async () =>
      /way back: stands still/.test((await cutover(['status'])).out),
    );
    t.regex(
      (await cutover(['status'])).out,
      /^ +public\.wide: a value in n that does not fit integer, first id = 2$/m,
    );
    const wide = JSON.parse((await cutover(['status', '--json'])).out) as { wayBack: { spoilers: string[] } };
    t.true(
      wide.wayBack.spoilers.includes('public.wide: a value in n that does not fit integer, first id = 2'),
      JSON.stringify(wide.wayBack),
    );
    const back = await cutover(['swap-back', '--yes']);
    t.is(back.code, 3, back.err);
    t.regex(back.err, /does not follow any more|would lose/);
    await server().sql(`update wide set n = 3 where id = 2; delete from fresh`, green.name);
    await server()
      .sql(`insert into wide values (3, null, 'c'), (4, 1, 'toolong'), (5, 1, 'a')`, green.name)
      .catch(() => undefined);
    const more = JSON.parse((await cutover(['status', '--json'])).out) as { wayBack: { spoilers: string[] } };
    t.deepEqual(more.wayBack.spoilers, [
      'public.wide: NULL in n, which was NOT NULL, first id = 3',
      'public.wide: a value in code that does not fit character varying(3), first id = 4',
      'public.wide: duplicates in (code), which was unique, first id = 1',
    ]);
  },
);

test(title('status says that it does not know when a server cannot be asked'), async (t) => {
  const { cutover, work } = await scene(t, {});
  t.is((await cutover(['run', 'playbook.yml'])).code, 0);
  const { code, out } = await work.cutover(['status']);
  t.is(code, 0);
  t.regex(out, /way back: not known, /);
});

test(title('a worker that failed, and was mended, is waited for when it is away for a moment'), async (t) => {
  const { cutover, blue, green } = await scene(t, {
    sql: `create table wide (id int primary key, code text constraint once unique); insert into wide values (1, 'a');`,
    migration: 'alter table wide drop constraint once, alter id type bigint',
    head: 'sync: logical\nexpect: { dropped: [public.wide.once], changed: [public.wide, public.wide.id] }',
  });
  t.is((await cutover(['run', 'playbook.yml'])).code, 0);
  await server().sql(`insert into wide values (2, 'a')`, green.name);
  const failed = async (): Promise<number> =>
    Number(
      (
        await server().sql('select sum(apply_error_count) as n from pg_stat_subscription_stats', blue.name)
      )[0]!['n'],
    );
  await until('it to fail several times', async () => (await failed()) >= 3);
  // At the moment when it tries once more nobody sees more than rows that do not fit.
  await until('the word on what to do', async () => {
    const refused = await cutover(['swap-back', '--yes']);
    t.is(refused.code, 3, refused.err);
    return /duplicates in \(code\)[^]*make room for it in the previous copy/.test(refused.err);
  });
  await server().sql('insert into wide values (3000000000, null)', green.name);
  await server().sql('alter table wide alter id type bigint', blue.name);
  await server().sql('alter table wide drop constraint once', blue.name);
  await until(
    'the rows',
    async () => (await server().sql('select from wide where id in (2, 3000000000)', blue.name)).length === 2,
  );
  const [{ name } = { name: '' }] = await server().sql(
    `select quote_ident(subname) as name from pg_subscription where subdbid = (select oid from pg_database where datname = '${blue.name}')`,
  );
  await server().sql(`alter subscription ${name} disable`, blue.name);
  const backWhileAway = cutover(['swap-back', '--yes']);
  await sleep(5000);
  await server().sql(`alter subscription ${name} enable`, blue.name);
  const back = await backWhileAway;
  t.is(back.code, 0, back.err);
});
