import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ava from 'ava';
import { Client } from 'pg';
import { dump } from './helpers/dump.ts';
import { LIVE_SETTINGS, liveScene, type LiveScene } from './helpers/live-scene.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

const test = NEEDS_PGBOUNCER ? ava.serial.skip : ava.serial;
const title = (text: string): string => text + NEEDS_PGBOUNCER;

let server: TestServer;
ava.before(async () => {
  if (!NEEDS_PGBOUNCER)
    server = await testServer(18, {
      ...LIVE_SETTINGS,
      wal_retrieve_retry_interval: '100ms',
      max_active_replication_origins: '60',
    });
});
ava.after.always(() => server?.stop());

type Options = Partial<Parameters<typeof liveScene>[1]>;
const scene = (t: Parameters<typeof liveScene>[0], options: Options = {}): Promise<LiveScene> =>
  liveScene(t, { from: server, to: server, ...options });

/** Everything that following could leave behind, on the whole server. */
const leftovers = async (database: string): Promise<unknown[]> => [
  ...(await server.sql(`select slot_name from pg_replication_slots where database like '${database}%'`)),
  ...(await server.sql(`select datname from pg_database where datname like '${database}_%'`)),
];

// Blue is never worse off

test(title('a run that is put back leaves blue to the letter as it was'), async (t) => {
  const { cutover, blue } = await scene(t, {
    migration: 'select 1/0',
    sql: 'create table bare (a int);',
    head: 'sync: { method: logical, without-identity: full }',
  });
  const before = await dump(server, blue.name);
  const { code, err } = await cutover(['run', 'playbook.yml']);
  t.is(code, 4, err);
  t.deepEqual(await dump(server, blue.name), before);
  t.deepEqual(await leftovers(blue.name), []);
});

test(
  title('there and back, and retired: blue is to the letter as it was, but for what was written'),
  async (t) => {
    const { cutover, blue, green } = await scene(t, {
      sql: `create schema "Odd ""s"; create type "Odd ""s"."select" as enum ('a', 'b');
    create table "Odd ""s"."from" ("Key" int generated always as identity primary key, "where" "Odd ""s"."select", u text);
    insert into "Odd ""s"."from" ("where", u) values ('a', 'ünï'), ('b', null);
    create table parts (id int, day date, primary key (id, day)) partition by range (day);
    create table parts_1 partition of parts for values from ('2026-01-01') to ('2026-06-01');
    create table parts_2 partition of parts for values from ('2026-06-01') to ('2027-01-01');
    insert into parts select i, '2026-05-30'::date + i from generate_series(1, 5) i;
    create table computed (id int primary key, twice int generated always as (id * 2) stored); insert into computed values (7);
    create table empty_one (id int primary key);`,
    });
    const before = await dump(server, blue.name);
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    const back = await cutover(['swap-back', '--yes']);
    t.is(back.code, 0, back.err);
    t.is((await cutover(['retire', '--confirm', green.name])).code, 0);
    t.deepEqual(await dump(server, blue.name), before);
    t.deepEqual(await leftovers(blue.name), []);
  },
);

// What is refused

test(
  title('a table without a key is refused, and followed as a whole when the playbook says so'),
  async (t) => {
    const sql = 'create table bare (a int, b text); insert into bare values (1, $$x$$), (1, $$x$$);';
    const refused = await scene(t, { sql });
    const { code, err } = await refused.cutover(['run', 'playbook.yml']);
    t.is(code, 3, err);
    t.regex(
      err,
      /1 table whose rows replication cannot tell apart[^]*public\.bare[^]*without-identity: full/,
    );
    const given = await scene(t, { sql, head: 'sync: { method: logical, without-identity: full }' });
    const ran = await given.cutover(['run', 'playbook.yml']);
    t.is(ran.code, 0, ran.err);
    const { green, blue } = given;
    await server.sql(
      `update bare set b = 'y' where ctid = (select min(ctid) from bare); insert into bare values (2, null)`,
      green.name,
    );
    await until(
      'the way back',
      async () => (await server.sql('select a, b from bare order by a, b', blue.name)).length === 3,
    );
    t.is((await given.cutover(['swap-back', '--yes'])).code, 0);
    t.deepEqual(await server.sql('select a, b from bare order by a, b', blue.name), [
      { a: 1, b: 'x' },
      { a: 1, b: 'y' },
      { a: 2, b: null },
    ] as never);
    t.is((await given.cutover(['retire', '--confirm', green.name])).code, 0);
    t.deepEqual(
      await server.sql(`select relreplident as is from pg_class where relname = 'bare'`, blue.name),
      [{ is: 'd' }],
    );
  },
);

test(
  title('large objects, and a template clone that would hold clients for too long, are refused'),
  async (t) => {
    const { cutover } = await scene(t, {
      sql: 'select lo_create(0);',
      head: 'sync: logical\nclone: { pause: 1ms }',
    });
    const { code, err } = await cutover(['run', 'playbook.yml']);
    t.is(code, 3, err);
    t.regex(err, /1 large object on blue: replication does not carry them/);
    t.regex(err, /the template clone would hold clients for about [^]*clone: \{ method: dump \}/);
  },
);

test(title('a dump needs programs as new as the server'), async (t) => {
  const { cutover, work } = await scene(t, { head: 'sync: logical\nclone: { method: dump }' });
  const none = await cutover(['--tools', work.folder, 'run', 'playbook.yml']);
  t.is(none.code, 3, none.err);
  t.regex(none.err, /pg_dump was not found in [^]*--tools DIR/);
  await writeFile(join(work.folder, 'pg_dump'), '#!/bin/sh\necho "pg_dump (PostgreSQL) 14.2"\n', {
    mode: 0o755,
  });
  await writeFile(join(work.folder, 'pg_restore'), '#!/bin/sh\necho "pg_restore (PostgreSQL) 14.2"\n', {
    mode: 0o755,
  });
  const old = await cutover(['--tools', work.folder, 'run', 'playbook.yml']);
  t.is(old.code, 3, old.err);
  t.regex(old.err, /pg_dump is of version 14, older than blue's server/);
});

test(title('a second run on a blue that is followed is refused, with the run that follows'), async (t) => {
  const { cutover } = await scene(t, {});
  t.is((await cutover(['run', 'playbook.yml'])).code, 0);
  t.is((await cutover(['swap-back', '--yes'])).code, 0);
  const again = await cutover(['run', 'playbook.yml']);
  t.is(again.code, 3, again.err);
  t.regex(again.err, /blue is followed by run \d{8}-/);
});

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
  await server.sql('alter table entries add column more text', blue.name);
  await cutover(['approve']);
  const { code, err } = await done;
  t.is(code, 4, err);
  t.regex(err, /the schema of shop_\w+ was changed since the copy was made/);
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
    await until('the switch', () =>
      readFile(join(work.folder, 'at-switch')).then(
        () => true,
        () => false,
      ),
    );
    // The switch waits for it, behind its look at the schema.
    const slow = await server.connect(blue.name);
    await slow.query('begin; select 1');
    await sleep(4000);
    await server.sql('alter table states add column late text', blue.name);
    await slow.query('commit');
    const { code, err } = await done;
    t.is(code, 4, err);
    t.regex(err, /the schema was changed meanwhile: (?:public\.)?states/);
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await leftovers(blue.name), []);
  },
);

test(title('temporary tables are no DDL'), async (t) => {
  const { cutover, ledger, blue } = await scene(t, {});
  ledger.start();
  const busy = await server.connect(blue.name);
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
  t.regex(err, /green does not apply the changes of blue/);
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
  await server.sql(
    'update shops set price_cents = 500 where id = 1; insert into shops (id, price) values (2, 3.5)',
    green.name,
  );
  t.is((await cutover(['swap-back', '--yes'])).code, 0);
  t.deepEqual(await server.sql('select id, price::text from shops order by id', blue.name), [
    { id: 1, price: '5.00' },
    { id: 2, price: '3.50' },
  ] as never);
  await server.sql('update shops set price = 7 where id = 1', blue.name);
  t.is((await cutover(['switch', '--yes'])).code, 0);
  t.deepEqual(await server.sql('select price_cents::text as cents from shops where id = 1', green.name), [
    { cents: '700' },
  ]);
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
      server.sql(
        `select n.nspname, c.relname, (xpath('/row/v/text()', query_to_xml(format('select concat(last_value, '' '', is_called) v from %I.%I', n.nspname, c.relname), false, true, '')))[1]::text as at
       from pg_class c join pg_namespace n on n.oid = c.relnamespace where relkind = 'S' order by 1, 2`,
        database,
      );
    const before = await positions(blue.name);
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    t.deepEqual(await positions(green.name), before);
    await server.sql(
      `select nextval('other.s1'), nextval('other.s2'), nextval('other."Down"'); insert into numbered (client, tag) values (1, 'x')`,
      green.name,
    );
    const after = await positions(green.name);
    t.notDeepEqual(after, before);
    t.is((await cutover(['swap-back', '--yes'])).code, 0);
    t.deepEqual(await positions(blue.name), after);
  },
);

// The fence

test(
  title(
    'after the switch nobody writes to the previous copy: the owner, a superuser, a session that says read write',
  ),
  async (t) => {
    const { cutover, blue } = await scene(t, {});
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    const app = new Client({
      connectionString: server.url(blue.name).replace(/\/\/[^@]*@/, '//app:app-word@'),
    });
    app.on('error', () => undefined);
    await t.throwsAsync(app.connect(), { message: /too many connections/ });
    const superuser = await server.connect(blue.name);
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
    const direct = await server.connect(blue.name);
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
    const rows = await server.sql('select id from entries where client = 99', green.name);
    // The last one may have been committed without an answer.
    t.true(
      rows.length === written.length || rows.length === written.length + 1,
      `${rows.length} of ${written.length}`,
    );
  },
);

test(title('a long transaction: the switch is refused, or it is ended, as the playbook says'), async (t) => {
  for (const [then, code] of [
    ['refuse', 4],
    ['end', 0],
  ] as const) {
    const { blue, work, env } = await scene(t, {
      head: 'sync: logical\nhooks: [{ before: switch, run: "touch at-switch; sleep 2.5" }]',
      lines: `  long-transactions: { wait: 300ms, then: ${then} }\n`,
    });
    const { done } = work.start(['run', 'playbook.yml'], env);
    await until('the switch', () =>
      readFile(join(work.folder, 'at-switch')).then(
        () => true,
        () => false,
      ),
    );
    const slow = await server.connect(blue.name);
    await slow.query('begin; select * from accounts limit 1');
    const ran = await done;
    t.is(ran.code, code, ran.err);
    if (then === 'refuse') t.regex(ran.err, /transactions on shop_\w+ were still open after 300 ms/);
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
    t.deepEqual(await ledger.problems(server, blue.name), []);
    const retired = await cutover(['retire', '--confirm', `${blue.name}_previous`]);
    t.is(retired.code, 0, retired.err);
    t.deepEqual(await leftovers(blue.name), []);
  },
);

test(title('an env file as the target: clients are ended, reconnect, and lose nothing'), async (t) => {
  const { cutover, work, blue, green } = await scene(t, { targets: () => ['env-file: { path: .env }'] });
  await work.file('.env', `DATABASE_URL=${server.url(blue.name)}\n`);
  await server.sql(`insert into entries values ('before', 1, '')`, blue.name);
  const ran = await cutover(['run', 'playbook.yml']);
  t.is(ran.code, 0, ran.err);
  t.true((await readFile(join(work.folder, '.env'), 'utf8')).includes(green.name));
  await server.sql(`insert into entries values ('after', 1, '')`, green.name);
  t.is((await cutover(['swap-back', '--yes'])).code, 0);
  t.deepEqual(await server.sql('select id from entries order by 1', blue.name), [
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
    await server.sql('insert into fresh values (4711)', green.name);
    const fresh = await cutover(['status']);
    t.regex(
      fresh.out,
      /not lossless any more:\n.*public\.fresh: rows in a table that the previous copy does not have, first id = 4711/,
    );
    await server.sql(`insert into wide values (2, 3000000000, 'b')`, green.name);
    await until('the worker to stumble', async () =>
      /way back: stands still/.test((await cutover(['status'])).out),
    );
    const wide = JSON.parse((await cutover(['status', '--json'])).out) as { wayBack: { spoilers: string[] } };
    t.true(
      wide.wayBack.spoilers.includes('public.wide: a value in n that does not fit integer, first id = 2'),
      JSON.stringify(wide.wayBack),
    );
    const back = await cutover(['swap-back', '--yes']);
    t.is(back.code, 3, back.err);
    t.regex(back.err, /does not follow any more|would lose/);
    await server.sql(`update wide set n = 3 where id = 2; delete from fresh`, green.name);
    await server
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
