import { writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { dump } from './helpers/dump.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { until } from './helpers/until.ts';

const { test, title, server, scene, leftovers } = liveSuite();

// Blue is never worse off

test(title('a run that is put back leaves blue to the letter as it was'), async (t) => {
  const { cutover, blue } = await scene(t, {
    migration: 'select 1/0',
    sql: 'create table bare (a int);',
    head: 'sync: { method: logical, without-identity: full }',
  });
  const before = await dump(server(), blue.name);
  const { code, err } = await cutover(['run', 'playbook.yml']);
  t.is(code, 4, err);
  t.deepEqual(await dump(server(), blue.name), before);
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
    const before = await dump(server(), blue.name);
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    const back = await cutover(['swap-back', '--yes']);
    t.is(back.code, 0, back.err);
    t.is((await cutover(['retire', '--confirm', green.name])).code, 0);
    t.deepEqual(await dump(server(), blue.name), before);
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
    await server().sql(
      `update bare set b = 'y' where ctid = (select min(ctid) from bare); insert into bare values (2, null)`,
      green.name,
    );
    await until(
      'the way back',
      async () => (await server().sql('select a, b from bare order by a, b', blue.name)).length === 3,
    );
    t.is((await given.cutover(['swap-back', '--yes'])).code, 0);
    t.deepEqual(await server().sql('select a, b from bare order by a, b', blue.name), [
      { a: 1, b: 'x' },
      { a: 1, b: 'y' },
      { a: 2, b: null },
    ] as never);
    t.is((await given.cutover(['retire', '--confirm', green.name])).code, 0);
    t.deepEqual(
      await server().sql(`select relreplident as is from pg_class where relname = 'bare'`, blue.name),
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

test(
  title('a server that cannot connect to the other one as a subscription is found beforehand'),
  async (t) => {
    const { work, env, blue } = await scene(t);
    // Whoever asks for replication is turned away, as a pg_hba.conf may do; everybody else is let through.
    const { port } = new URL(env['DATABASE_URL']!);
    const proxy = createServer((client) => {
      const upstream = connect(Number(port), '127.0.0.1');
      client.on('error', () => undefined);
      upstream.on('error', () => undefined);
      client.on('data', (data: Buffer) => {
        if (data.includes('replication\0database')) client.destroy();
        else upstream.write(data);
      });
      client.on('close', () => upstream.destroy());
      upstream.pipe(client);
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    t.teardown(() => proxy.close());
    const through = new URL(env['DATABASE_URL']!);
    through.port = String((proxy.address() as AddressInfo).port);
    const { code, err } = await work.cutover(['run', 'playbook.yml'], { ...env, DATABASE_URL: through.href });
    t.is(code, 3, err);
    t.regex(err, /green's server cannot connect to blue as a subscription: [^]*pg_hba\.conf/);
    t.deepEqual(await leftovers(blue.name), []);
  },
);
