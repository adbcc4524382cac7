import test from 'ava';
import type { Catalog } from '../src/core/database/catalog.ts';
import { catalogFingerprint } from '../src/databases/postgres/catalog/catalog.ts';
import { createReader, prepareReaderSession } from '../src/databases/postgres/reading/reader.ts';
import { loadFixture } from './helpers/check-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

const servers: TestServer[] = [];
test.before(async () => {
  for (const major of [15, 18]) servers.push(await testServer(major));
});
test.after.always(() => Promise.all(servers.map((server) => server.stop())));

async function read(server: TestServer, database: string): Promise<Catalog> {
  const client = await server.connect(database);
  try {
    await prepareReaderSession(client);
    return await createReader([client]).catalog();
  } finally {
    await client.end();
  }
}

const lines = (catalog: Catalog): string[] =>
  catalog.objects.map(({ kind, path, definition }) => JSON.stringify([kind, path, definition]));

test.serial(
  'the same files give the same catalogue, whatever the ids, the search path and the order',
  async (t) => {
    for (const server of servers) {
      for (const fixture of ['odd-names', 'shopping-points']) {
        const first = await loadFixture(server, fixture);
        await server.sql('create table other (); drop table other', first);
        const second = await loadFixture(server, fixture);
        await server.sql(`alter database "${second}" set search_path = pg_catalog`);
        const [one, two] = [await read(server, first), await read(server, second)];
        t.deepEqual(one, two);
        t.is(catalogFingerprint(one), catalogFingerprint(two));
        t.true(one.objects.every(({ definition }) => !definition.includes('undefined')));
        t.is(
          new Set(one.objects.map(({ kind, path }) => JSON.stringify([kind, path]))).size,
          one.objects.length,
        );
      }
    }
  },
);

test.serial('15 and 18 read alike, but for what the versions print differently', async (t) => {
  const [old, young] = await Promise.all(
    servers.map(async (server) => read(server, await loadFixture(server, 'shopping-points'))),
  );
  t.deepEqual(lines(old!), lines(young!));
});

/** Each statement changes one thing; the fingerprint must see every one, and no two alike. */
const changes = [
  `alter table shops alter name set not null, alter note set default 'x'`,
  `alter table shops alter name type varchar(50)`,
  `alter table shops alter name set storage external`,
  `alter table shops alter name set statistics 5`,
  `alter table shops alter name set (n_distinct = 7)`,
  `alter table shops add constraint positive check (id > 0) not valid`,
  `alter table shops validate constraint positive`,
  `create index named on shops (name)`,
  `cluster shops using named`,
  `alter table shops replica identity full`,
  `alter table shops enable row level security`,
  `alter table shops force row level security`,
  `alter table shops set (fillfactor = 70)`,
  `alter table shops set (toast.autovacuum_enabled = off)`,
  `alter table shops set unlogged`,
  `create policy mine on shops using (id > 1)`,
  `alter policy mine on shops to pg_monitor`,
  `grant select on shops to public`,
  `grant update (name) on shops to public`,
  `comment on column shops.name is 'x'`,
  `comment on index named is 'x'`,
  `create function f() returns trigger language plpgsql as 'begin return new; end'`,
  `create or replace function f() returns trigger language plpgsql as 'begin return null; end'`,
  `create trigger t before insert on shops for each row execute function f()`,
  `alter table shops disable trigger t`,
  `create rule r as on delete to shops do instead nothing`,
  `create view v as select id from shops`,
  `alter view v set (security_barrier)`,
  `create materialized view m as select id from shops with no data`,
  `refresh materialized view m`,
  `create sequence s`,
  `alter sequence s increment 2`,
  `alter sequence s owned by shops.id`,
  `create type mood as enum ('a')`,
  `alter type mood add value 'b' before 'a'`,
  `create domain d as int check (value > 0)`,
  `alter domain d set not null`,
  `create type pair as (a int)`,
  `alter type pair add attribute b text`,
  `create type span as range (subtype = int)`,
  `create extension citext`,
  `create aggregate total(int) (sfunc = int4pl, stype = int)`,
  `create statistics st on id, name from shops`,
  `alter table shops set logged`,
  `create publication p for table shops`,
  `alter publication p set table shops (id) where (id > 3)`,
  `create extension postgres_fdw`,
  `create server far foreign data wrapper postgres_fdw options (host 'a')`,
  `alter server far options (set host 'b')`,
  `create user mapping for postgres server far options (user 'x', password 'geheim')`,
  `alter user mapping for postgres server far options (set password 'anders')`,
  `alter default privileges grant select on tables to public`,
  `create table kids () inherits (shops)`,
  `create table parts (id int) partition by list (id)`,
  `create table part1 partition of parts for values in (1)`,
  `create collation byte from "C"`,
  `create cast (mood as int) with inout`,
  `create operator #### (function = int4pl, leftarg = int, rightarg = int)`,
  `create text search configuration words (copy = simple)`,
  `create function e() returns event_trigger language plpgsql as 'begin end'`,
  `create event trigger et on ddl_command_end execute function e()`,
  `alter event trigger et disable`,
  `create schema other`,
  `alter schema other owner to pg_monitor`,
  `alter table shops owner to pg_monitor`,
];

test.serial('every kind of change is seen, and rows are not', async (t) => {
  for (const server of servers) {
    const name = await server.database();
    const client = await server.connect(name);
    await client.query('create table shops (id serial primary key, name text, note text)');
    const seen = new Set([catalogFingerprint(await read(server, name))]);
    await client.query(
      `insert into shops (name) values ('x'); select nextval('shops_id_seq'); analyze shops`,
    );
    seen.add(catalogFingerprint(await read(server, name)));
    t.is(seen.size, 1);
    // What some releases note for themselves, beside what somebody has set.
    await client.query(
      `set allow_system_table_mods to on;
       update pg_attribute set attoptions = '{pg_attver=26556416}' where attrelid = 'shops'::regclass and attname = 'id';
       reset allow_system_table_mods`,
    );
    seen.add(catalogFingerprint(await read(server, name)));
    t.is(seen.size, 1);
    await client.query(
      `set allow_system_table_mods to on;
       update pg_attribute set attoptions = null where attrelid = 'shops'::regclass and attname = 'id';
       reset allow_system_table_mods`,
    );
    for (const sql of changes) {
      await client.query(sql);
      const catalog = await read(server, name);
      const before = seen.size;
      seen.add(catalogFingerprint(catalog));
      t.is(seen.size, before + 1, sql);
      t.false(lines(catalog).some((line) => /geheim|anders/.test(line)));
    }
    await client.end();
  }
});

test.serial(
  'tables: roots and plain ones, base types behind domains, estimates over partitions',
  async (t) => {
    for (const server of servers) {
      const name = await server.database();
      await server.sql(
        `create domain d as numeric(5,2); create domain dd as d; create extension citext;
       create table plain (a dd not null, b int generated always as (1) stored, c varchar(7)[], "d""d" citext);
       create table parts (id int) partition by range (id);
       create table p1 partition of parts for values from (0) to (10);
       create table p2 partition of parts for values from (10) to (99) partition by list (id);
       create table p21 partition of p2 default; create materialized view m as select 1;
       insert into parts select generate_series(0, 49); analyze`,
        name,
      );
      const { tables } = await read(server, name);
      t.deepEqual(tables, [
        {
          path: ['public', 'parts'],
          columns: [{ name: 'id', type: 'integer', nullable: true, generated: false }],
          estimatedRows: 50,
          bytes: 16_384,
          partitioned: true,
          key: [],
        },
        {
          path: ['public', 'plain'],
          columns: [
            { name: 'a', type: 'numeric', nullable: false, generated: false },
            { name: 'b', type: 'integer', nullable: true, generated: true },
            { name: 'c', type: 'character varying[]', nullable: true, generated: false },
            { name: 'd"d', type: 'public.citext', nullable: true, generated: false },
          ],
          estimatedRows: 0,
          bytes: 0,
          partitioned: false,
          key: [],
        },
      ]);
    }
  },
);

test.serial('what tells the rows of a table apart', async (t) => {
  for (const server of servers) {
    const name = await server.database();
    await server.sql(
      `create table primary_first (a int unique not null, "b""b" int, c int, primary key (c, "b""b"));
       create table unique_only (a int not null, b int not null, c text, unique (c), unique (a, b) include (c), unique (b) deferrable);
       create table partial (a int not null); create unique index on partial (a) where a > 1;
       create table expression (a int not null); create unique index on expression ((a + 1));
       create table parts (a int, b int not null, primary key (b)) partition by range (b)`,
      name,
    );
    const { tables } = await read(server, name);
    t.deepEqual(Object.fromEntries(tables.map(({ path, key }) => [path[1], key])), {
      primary_first: ['c', 'b"b'],
      unique_only: ['a', 'b'],
      partial: [],
      expression: [],
      parts: ['b'],
    });
  }
});
