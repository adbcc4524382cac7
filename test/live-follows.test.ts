import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { liveSuite } from './helpers/live-suite.ts';
import { appears, until } from './helpers/until.ts';

const { test, title, server, scene, leftovers } = liveSuite({ logging_collector: 'on' });

// While it follows

test(title('DDL on blue during the sync stops the switch'), async (t) => {
  const { cutover, blue, work, env } = await scene(t, {});
  await writeFile(
    join(work.folder, 'playbook.yml'),
    (await readFile(join(work.folder, 'playbook.yml'), 'utf8')).replace(
      'gate: open',
      'gate: { timeout: 20s, then: go }',
    ),
  );
  const { done } = work.start(['run', 'playbook.yml'], env);
  await until('the gate', async () => /"gate-opened"/.test(await journalOf(work.folder)));
  await server().sql('alter table entries add column more text', blue.name);
  await server().sql('grant create on schema public to app', blue.name);
  const app = await server().connect(blue.name);
  await app.query(`set application_name = 'psql'; set session authorization app`);
  // What is taken back was not done; temporary objects are none.
  await app.query('begin; create table never (id int); rollback; create temp table mine (id int)');
  await app.query('create table apps (id int)');
  await cutover(['approve']);
  const { code, err } = await done;
  t.is(code, 4, err);
  t.regex(err, /Clients go on writing to shop_\w+, and shop_\w+_green follows, until there is an answer/);
  t.notRegex(err, /create table never|create temp table/);
  t.regex(
    err,
    /the schema of shop_\w+ was changed since the copy was made\n[^]*user=postgres app=- pid \d+: alter table entries add column more text\n[^]*user=app app=psql pid \d+: create table apps \(id int\)\n/,
  );
  t.deepEqual(await leftovers(blue.name), []);
});

test(
  title('DDL in the last moment, after the last look at the schema, is noticed in the pause'),
  async (t) => {
    const { blue, work, env, ledger } = await scene(t, {
      head: 'sync: logical\nhooks: [{ before: switch, run: "touch at-switch; sleep 1.5" }]',
    });
    ledger.start();
    const { done } = work.start(['run', 'playbook.yml'], env);
    await appears(join(work.folder, 'at-switch'));
    // The switch waits for it, behind its look at the schema.
    const slow = await server().connect(blue.name);
    await slow.query('begin; select 1');
    await sleep(4000);
    await server().sql('alter table states add column late text', blue.name);
    await slow.query('commit');
    const { code, err } = await done;
    t.is(code, 4, err);
    t.regex(
      err,
      /the schema was changed meanwhile: (?:public\.)?states\n[^]*alter table states add column late/,
    );
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await leftovers(blue.name), []);
  },
);

test(title('temporary tables are no DDL'), async (t) => {
  const { cutover, ledger, blue } = await scene(t, {});
  ledger.start();
  const busy = await server().connect(blue.name);
  const over = new AbortController();
  const temporary = (async () => {
    while (!over.signal.aborted) {
      await busy
        .query('create temp table if not exists mine (a int); drop table mine')
        .catch(() => over.abort());
      await sleep(5);
    }
  })();
  const ran = await cutover(['run', 'playbook.yml']);
  over.abort();
  await temporary;
  t.is(ran.code, 0, ran.err);
  t.deepEqual((await ledger.stop()).errors, []);
});

async function journalOf(folder: string): Promise<string> {
  const { readdir } = await import('node:fs/promises');
  const [run] = await readdir(join(folder, '.cutover/runs')).catch(() => []);
  return run === undefined
    ? ''
    : readFile(join(folder, '.cutover/runs', run, 'journal.jsonl'), 'utf8').catch(() => '');
}

test(title('dropped tables and columns are left out when the playbook says so'), async (t) => {
  const { cutover, ledger, green, blue } = await scene(t, {
    sql: 'create table old (id int primary key); alter table accounts add column legacy int not null default 0;',
    migration: 'drop table old; alter table accounts drop column legacy',
    head: 'sync: logical\nexpect: { dropped: [public.old, public.accounts.legacy] }',
  });
  ledger.start();
  const ran = await cutover(['run', 'playbook.yml']);
  t.is(ran.code, 0, ran.err);
  await sleep(300);
  const back = await cutover(['swap-back', '--yes']);
  t.is(back.code, 0, back.err);
  t.deepEqual((await ledger.stop()).errors, []);
  t.deepEqual(await ledger.problems(blue.server, blue.name), []);
  t.truthy(green);
});

test(
  title('a column that is dropped and not named stops the sync, with the words for the playbook'),
  async (t) => {
    const { cutover, blue } = await scene(t, { migration: 'alter table entries drop column body' });
    const { code, err } = await cutover(['run', 'playbook.yml']);
    t.is(code, 4, err);
    t.regex(err, /green lacks what blue's changes need: "public"\."entries"\."body"[^]*expect: \{ dropped/);
    t.deepEqual(await leftovers(blue.name), []);
  },
);

test(title('a worker that cannot apply stops the sync'), async (t) => {
  const { cutover, ledger, blue } = await scene(t, {
    migration: 'delete from accounts; delete from entries; alter table entries add column must int not null',
  });
  ledger.start();
  await sleep(300);
  const { code, err } = await cutover(['run', 'playbook.yml']);
  t.is(code, 4, err);
  t.regex(
    err,
    /green does not apply the changes of blue\n[^]*ERROR: null value in column "must"[^]*CONTEXT: processing remote data for replication origin "pg_\d+"/,
  );
  t.deepEqual((await ledger.stop()).errors, []);
  t.deepEqual(await ledger.problems(blue.server, blue.name), []);
  t.deepEqual(await leftovers(blue.name), []);
});

test(title('a column is renamed by expand and contract, as docs/live.md says'), async (t) => {
  const docs = await readFile(new URL('../docs/live.md', import.meta.url), 'utf8');
  const migration = /```sql\n([^]*?)```/.exec(docs)![1]!;
  const { cutover, blue, green } = await scene(t, {
    sql: 'create table shops (id int primary key, price numeric(10,2)); insert into shops values (1, 9.99);',
    migration: migration.trim().replace(/;$/, ''),
  });
  const ran = await cutover(['run', 'playbook.yml']);
  t.is(ran.code, 0, ran.err);
  await server().sql(
    'update shops set price_cents = 500 where id = 1; insert into shops (id, price) values (2, 3.5)',
    green.name,
  );
  t.is((await cutover(['swap-back', '--yes'])).code, 0);
  t.deepEqual(await server().sql('select id, price::text from shops order by id', blue.name), [
    { id: 1, price: '5.00' },
    { id: 2, price: '3.50' },
  ] as never);
  await server().sql('update shops set price = 7 where id = 1', blue.name);
  t.is((await cutover(['switch', '--yes'])).code, 0);
  t.deepEqual(await server().sql('select price_cents::text as cents from shops where id = 1', green.name), [
    { cents: '700' },
  ]);
});

test(title('catching up has its time limit'), async (t) => {
  const { cutover, ledger, blue } = await scene(t, {
    // Every change takes its time on green: it never catches up.
    migration: `create function slowly() returns trigger language plpgsql as 'begin perform pg_sleep(0.3); return new; end';
      create trigger slow before insert on entries for each row execute function slowly(); alter table entries enable always trigger slow`,
    head: 'sync: logical\nlimits: { sync: 3s }',
  });
  ledger.start();
  await sleep(300);
  const { code, err } = await cutover(['run', 'playbook.yml']);
  t.is(code, 4, err);
  t.regex(err, /step sync took longer than 3\.0 s[^]*limits: \{ sync: … \}/);
  t.deepEqual((await ledger.stop()).errors, []);
  t.deepEqual(await leftovers(blue.name), []);
});

// Sequences

test(
  title('sequences are exact there and back: thousands, in every schema, called or not, identity too'),
  async (t) => {
    const { cutover, blue, green } = await scene(t, {
      sql: `create schema other; do $$ begin for i in 1..1500 loop execute format('create sequence other.s%s', i); if i % 3 = 0 then perform setval(format('other.s%s', i), i * 7, i % 2 = 0); end if; end loop; end $$;
      create sequence other."Down" increment -5 maxvalue 100 start 100; select nextval('other."Down"');`,
    });
    const positions = (database: string) =>
      server().sql(
        `select n.nspname, c.relname, (xpath('/row/v/text()', query_to_xml(format('select concat(last_value, '' '', is_called) v from %I.%I', n.nspname, c.relname), false, true, '')))[1]::text as at
       from pg_class c join pg_namespace n on n.oid = c.relnamespace where relkind = 'S' order by 1, 2`,
        database,
      );
    const before = await positions(blue.name);
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    t.deepEqual(await positions(green.name), before);
    await server().sql(
      `select nextval('other.s1'), nextval('other.s2'), nextval('other."Down"'); insert into numbered (client, tag) values (1, 'x')`,
      green.name,
    );
    const after = await positions(green.name);
    t.notDeepEqual(after, before);
    t.is((await cutover(['swap-back', '--yes'])).code, 0);
    t.deepEqual(await positions(blue.name), after);
  },
);
