import test from 'ava';
import {
  checkContract,
  failures,
  loadFixture,
  withPair,
  openCheck,
  said,
  type Pair,
} from './helpers/check-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

const servers: { server: TestServer; templates: string[] }[] = [];
let bare: string;

test.before(async () => {
  for (const major of [14, 18]) {
    const server = await testServer(major);
    const entry = { server, templates: [] as string[] };
    servers.push(entry);
    for (const fixture of ['shopping-points', 'odd-names']) {
      const name = await loadFixture(server, fixture);
      await server.sql(
        `create table common_table (id serial primary key, a int, b text);
        insert into common_table (a, b) values (1, 'x'), (2, 'y'); analyze`,
        name,
      );
      entry.templates.push(name);
    }
  }
  bare = await servers[1]!.server.database('bare');
});
test.after.always(() => Promise.all(servers.map(({ server }) => server.stop())));

checkContract(test, () => servers, {
  name: 'foreign-keys',
  plant: {
    sql: `alter table common_table add column parent int; update common_table set parent = 99 where a = 1;
      alter table common_table add constraint parent_fk foreign key (parent) references common_table (id) not valid`,
    says: /1 row of public\.common_table without a parent in public\.common_table \(parent_fk\)/,
  },
});
checkContract(test, () => servers, {
  name: 'indexes',
  plant: {
    sql: `update pg_index set indisvalid = false where indexrelid = 'common_table_pkey'::regclass`,
    says: /index public\.common_table\.common_table_pkey is invalid.*REINDEX INDEX public\.common_table_pkey/,
  },
});

function inPair(sql: string, work: (pair: Pair) => Promise<void>): Promise<void> {
  return withPair(servers[1]!.server, bare, async (pair) => {
    for (const side of [pair.blue, pair.green]) await side.query(sql);
    await work(pair);
  });
}

const find = async (pair: Pair, name: string) => openCheck(name).run(await pair.context());

test.serial('foreign keys: triggers that were off, several columns, MATCH FULL, partitions, odd names', (t) =>
  inPair(
    `create schema "S s"; create table "S s"."P ""p""" (a int, "B b" text, primary key (a, "B b"));
     insert into "S s"."P ""p""" values (1, 'x');
     create table simple (a int, b text, constraint "odd ""fk""" foreign key (a, b) references "S s"."P ""p""");
     create table complete (a int, b text, constraint complete_fk foreign key (a, b) references "S s"."P ""p""" match full);
     create table parts (id int primary key) partition by range (id); create table parts1 partition of parts for values from (0) to (10);
     create table child (part int constraint child_fk references parts) partition by range (part);
     create table child1 partition of child for values from (0) to (10);
     insert into parts values (1); insert into child values (1); insert into simple values (1, 'x'), (null, 'none'), (7, null)`,
    async (pair) => {
      t.deepEqual(failures(await find(pair, 'foreign-keys')), []);
      await pair.green.query(
        `set session_replication_role = replica; insert into simple values (1, 'lost'), (2, 'lost'); insert into complete values (null, 'x');
         insert into child values (5); reset session_replication_role`,
      );
      const text = said(await find(pair, 'foreign-keys'));
      t.regex(text, /failure \| 2 rows of public\.simple without a parent in "S s"\."P ""p""" \(odd "fk"\)/);
      t.regex(text, /failure \| 1 row of public\.complete without/);
      t.regex(text, /failure \| 1 row of public\.child without a parent in public\.parts \(child_fk\)/);
      t.is(text.match(/child_fk/g)?.length, 1, 'partitions are their parent’s');
      // What blue lacks as well is no fault of the migrations.
      await pair.blue.query(
        `set session_replication_role = replica; insert into child values (5); reset session_replication_role`,
      );
      t.regex(said(await find(pair, 'foreign-keys')), /warning \| 1 row of public\.child .* as on blue/);
    },
  ),
);

test.serial('indexes: a unique one with a key twice, by expression and with a condition, and NULLs', (t) =>
  inPair(
    `create table t (a int, b text); insert into t select i, 'x' || i from generate_series(1, 100) i;
     create unique index on t (a); create unique index "odd ""i""" on t (lower(b)) where a > 10; insert into t values (null, null), (null, null);
     create index plain on t (b); analyze`,
    async (pair) => {
      t.deepEqual(failures(await find(pair, 'indexes')), []);
      await pair.green.query(
        `update pg_index set indisunique = false, indimmediate = true where indrelid = 't'::regclass`,
      );
      await pair.green.query(`insert into t values (50, 'other'), (51, 'X60'), (52, 'x5')`);
      await pair.green.query(
        `update pg_index set indisunique = true where indrelid = 't'::regclass and indexrelid <> 'plain'::regclass`,
      );
      const text = said(await find(pair, 'indexes'));
      t.regex(text, /3 keys of public\.t\.t_a_idx are in public\.t more than once/);
      t.regex(text, /1 key of public\.t\."odd ""i""" is in public\.t more than once/);
    },
  ),
);

test.serial('indexes: one that does not hold what its table holds, where amcheck is there', async (t) => {
  await inPair(
    `create extension amcheck; create table t (a int); insert into t select generate_series(1, 1000);
     create function f(int) returns int language plpgsql immutable as 'begin return $1; end'; create index by_f on t (f(a)); analyze`,
    async (pair) => {
      t.deepEqual(failures(await find(pair, 'indexes')), []);
      await pair.green.query(
        `create or replace function f(int) returns int language plpgsql immutable as 'begin return -$1; end'`,
      );
      t.regex(
        said(await find(pair, 'indexes')),
        /index public\.t\.by_f is damaged: .*REINDEX INDEX public\.by_f/s,
      );
    },
  );
});

test.serial('indexes: tables without statistics, and no amcheck, are told', (t) =>
  inPair('create table t (a int); insert into t values (1); create table empty (a int)', async (pair) => {
    const text = said(await find(pair, 'indexes'));
    t.regex(text, /warning \| the planner knows nothing of public\.t \| in the last migration: ANALYZE/);
    t.regex(text, /note \| .*amcheck is not installed on green/);
    await pair.green.query('analyze');
    t.notRegex(said(await find(pair, 'indexes')), /the planner/);
  }),
);
