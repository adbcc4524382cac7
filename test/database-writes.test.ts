// What was written since the switch is counted, table by table.
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { control, databaseSuite, end } from './helpers/database-suite.ts';

const { test, server, subject } = databaseSuite();

const writesSchema = `
  create table a (id int primary key, n int default 0);
  insert into a select generate_series(1, 10);
  alter table a cluster on a_pkey;
  create table p (id int, part int) partition by list (part);
  create table p1 partition of p for values in (1);
  create table p2 partition of p for values in (2);
  insert into p select g, 1 from generate_series(1, 4) g;
  create table parent (id int);
  create table child () inherits (parent);
  insert into parent values (1), (2);
  insert into child values (3);
  create table "Odd.Name" ("Id" int);
  insert into "Odd.Name" values (1);
  create table doomed (id int);
  insert into doomed values (1), (2), (3);
  create materialized view mv as select count(*) from a;`;

interface Written {
  readonly title: string;
  readonly sql: readonly string[];
  /** Table → rows newer and lost. */
  readonly writes: Readonly<Record<string, readonly [newer: number, lost: number]>>;
  readonly schema?: true;
}

const written: readonly Written[] = [
  { title: 'nothing', sql: [], writes: {} },
  { title: 'inserts', sql: ['insert into a values (11), (12)'], writes: { 'public.a': [2, 0] } },
  { title: 'updates', sql: ['update a set n = 1 where id < 4'], writes: { 'public.a': [3, 3] } },
  {
    title: 'an update that changes nothing',
    sql: ['update a set n = n where id = 1'],
    writes: { 'public.a': [1, 1] },
  },
  { title: 'deletes', sql: ['delete from a where id > 8'], writes: { 'public.a': [0, 2] } },
  {
    title: 'an insert that is deleted again',
    sql: ['insert into a values (11)', 'delete from a where id = 11'],
    writes: {},
  },
  {
    title: 'a row updated twice',
    sql: ['update a set n = 1 where id = 1', 'update a set n = 2 where id = 1'],
    writes: { 'public.a': [1, 1] },
  },
  { title: 'truncate', sql: ['truncate a'], writes: { 'public.a': [0, 10] } },
  {
    title: 'truncate and as many rows again',
    sql: ['truncate a', 'insert into a select generate_series(1, 10)'],
    writes: { 'public.a': [10, 10] },
  },
  {
    title: 'what was rolled back',
    sql: [
      'begin; insert into a values (11); update a set n = 9; delete from a where id = 3; rollback',
      'begin; truncate p; rollback',
    ],
    writes: {},
  },
  { title: 'what was only locked', sql: ['begin; select * from a for update; commit'], writes: {} },
  {
    title: 'subtransactions',
    sql: [
      'begin; savepoint s; insert into a values (11); release s; savepoint r; insert into a values (12); rollback to r; commit',
    ],
    writes: { 'public.a': [1, 0] },
  },
  {
    title: 'a row moved between partitions',
    sql: ['update p set part = 2 where id = 1'],
    writes: { 'public.p': [1, 1] },
  },
  {
    title: 'an insert straight into a partition',
    sql: ['insert into p2 values (9, 2)'],
    writes: { 'public.p': [1, 0] },
  },
  {
    title: 'a partition detached',
    sql: ['alter table p detach partition p1'],
    writes: { 'public.p': [0, 4] },
    schema: true,
  },
  {
    title: 'children apart from their parents',
    sql: ['insert into child values (4)', 'delete from only parent where id = 1'],
    writes: { 'public.child': [1, 0], 'public.parent': [0, 1] },
  },
  {
    title: 'tables with odd names',
    sql: ['insert into "Odd.Name" values (2)'],
    writes: { 'public."Odd.Name"': [1, 0] },
  },
  {
    title: 'a new table with rows',
    sql: ['create table fresh as select 1 as x'],
    writes: { 'public.fresh': [1, 0] },
    schema: true,
  },
  { title: 'a new table without rows', sql: ['create table fresh (x int)'], writes: {}, schema: true },
  { title: 'a dropped table', sql: ['drop table doomed'], writes: { 'public.doomed': [0, 3] }, schema: true },
  { title: 'a column that came', sql: ['alter table a add column extra int'], writes: {}, schema: true },
  {
    title: 'large objects made',
    sql: [`select lo_from_bytea(0, 'abc')`],
    writes: { 'large objects': [1, 0] },
  },
  {
    title: 'large objects written to',
    sql: ["select lo_put(4711, 0, 'xyz')"],
    writes: { 'large objects': [1, 1] },
  },
  { title: 'large objects gone', sql: ['select lo_unlink(4711)'], writes: { 'large objects': [0, 1] } },
  {
    title: 'housekeeping',
    sql: [
      'vacuum full',
      'vacuum freeze',
      'cluster a',
      'analyze',
      'reindex table a',
      'vacuum full a',
      'refresh materialized view mv',
      'select txid_current()',
      'checkpoint',
    ],
    writes: {},
  },
  {
    title: 'writes that housekeeping went over',
    sql: [
      'update a set n = 1 where id < 4',
      'insert into a values (11)',
      'vacuum freeze a',
      'vacuum full a',
      'cluster a',
      'vacuum freeze',
    ],
    writes: { 'public.a': [4, 3] },
  },
  {
    title: 'rows that were copied in frozen',
    sql: ["begin; truncate doomed; copy doomed from program 'echo 7' with (freeze); commit"],
    writes: { 'public.doomed': [1, 3] },
  },
  {
    title: 'one write among many transactions',
    sql: [...Array.from({ length: 50 }, () => 'select txid_current()'), 'insert into a values (11)'],
    writes: { 'public.a': [1, 0] },
  },
];

for (const { title, sql, writes, schema } of written) {
  test(`writes since the switch: ${title}`, async (t) => {
    const { database, name } = await subject(t, { sql: `${writesSchema} select lo_from_bytea(4711, 'abc')` });
    await database.close('blue', end, control);
    const baseline = JSON.parse(JSON.stringify(await database.baseline('blue'))) as Awaited<
      ReturnType<Postgres['baseline']>
    >;
    await database.releaseReaders();
    await database.open('blue');
    const client = await server().connect(name);
    for (const statement of sql) await client.query(statement);
    await client.end();
    await database.close('blue', end, control);
    const report = await database.writesSince('blue', baseline);
    t.deepEqual(
      Object.fromEntries(
        report.tables.map(({ table, newer, lost }) => [table, [Number(newer), Number(lost)]]),
      ),
      writes,
    );
    t.is(report.schema.length > 0, schema ?? false, report.schema.join());
  });
}

test('writes since the switch: the very first transaction after the baseline counts, the last one before does not', async (t) => {
  const { database, name } = await subject(t);
  const [row] = await server().sql(
    `insert into notes values (1, 'x') returning pg_current_xact_id()::text as xid`,
    name,
  );
  await database.close('blue', end, control);
  const baseline = await database.baseline('blue');
  const newer = async (xid: bigint) =>
    (await database.writesSince('blue', { ...baseline, xid: String(xid) })).tables[0]?.newer;
  t.is(await newer(BigInt(row!['xid']!)), 1n);
  t.is(await newer(BigInt(row!['xid']!) + 1n), undefined);
});
