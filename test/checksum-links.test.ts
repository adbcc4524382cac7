import test from 'ava';
import type pg from 'pg';
import type { HashedColumn } from '../src/core/database/catalog.ts';
import { rowHash } from '../src/databases/postgres/reading/checksum.ts';
import { createReader, prepareReaderSession } from '../src/databases/postgres/reading/reader.ts';
import { Sources } from '../src/databases/postgres/reading/source.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

/** Values as the server writes them. */
const TEXT: pg.CustomTypesConfig = { getTypeParser: () => (value: string) => value };
const servers: TestServer[] = [];
const sessions = new Map<number, { readonly client: pg.Client; readonly reading: pg.Client }>();

test.before(async () => {
  for (const major of [14, 18]) {
    const server = await testServer(major);
    servers.push(server);
    const name = await server.database();
    const reading = await server.connect(name);
    await prepareReaderSession(reading);
    sessions.set(major, { client: await server.connect(name), reading });
  }
});
test.after.always(() => Promise.all(servers.map((server) => server.stop())));

/** The hash of each value by itself. */
async function hashesOf(
  major: number,
  type: string,
  as: string,
  values: readonly string[],
): Promise<string[]> {
  const { reading } = sessions.get(major)!;
  const hash = rowHash([{ name: 'v', as, nullable: true }]);
  const rows = values.map((value, index) => `(${index}, '${value}'::${type})`).join(', ');
  const result = await reading.query<{ hash: string }>(
    `select (${hash})::text as hash from (values ${rows}) t(i, v) order by i`,
  );
  return result.rows.map((row) => row.hash);
}

const HOUR = 2n ** 32n;
const START = 946684800000000n;
const FAR = (2n ** 63n / HOUR) * HOUR - START - 5n * HOUR;
/** What the hash makes of the microseconds of 1970: those of a time in the first hour of 2000. */
const FOLDED = BigInt.asUintN(32, BigInt.asUintN(32, -START) ^ ~(-START >> 32n));
/** Microseconds around the places where the hash of a time folds, before and after 2000 and 1970. */
const micros = [-40_000n, -6n, -5n, -2n, -1n, 0n, 1n, 2n, 5n, 6n, 40_000n]
  .flatMap((hours) => [-1n, 0n, 1n, hours].map((more) => hours * HOUR + more))
  .concat(-START, -START + 1n, -START + 1_000_000n, FOLDED, FAR, FAR + 1n);
const stamp = (us: bigint): string => `'2000-01-01 00:00' + interval '${us} us'`;

for (const [type, as] of [
  ['timestamp', 'timestamp without time zone'],
  ['timestamptz', 'timestamp with time zone'],
] as const) {
  test.serial(`every ${type} has a hash of its own, the same on 14 and 18`, async (t) => {
    const { reading } = sessions.get(18)!;
    const list = [...new Set(micros)].map((us) => `(${type} ${stamp(us)})::text`).join(', ');
    const made = await reading.query<{ values: string[] }>(`select array[${list}] as values`);
    const values = [...new Set([...made.rows[0]!.values, 'infinity', '-infinity', '4714-11-24 00:00 BC'])];
    t.true(values.length > 40);
    const [old, recent] = [await hashesOf(14, type, as, values), await hashesOf(18, type, as, values)];
    t.deepEqual(old, recent);
    t.is(new Set(recent).size, values.length);
  });
}

const apart: Readonly<Record<string, readonly [as: string, values: readonly string[]]>> = {
  date: [
    'date',
    ['-infinity', '4714-11-24 BC', '1999-12-31', '2000-01-01', '2000-01-02', '5874897-12-31', 'infinity'],
  ],
  float4: ['real', ['0', '-0', '1e-45', '-1e-45', '1', 'NaN', 'Infinity', '-Infinity', '3.4028235e38']],
  float8: [
    'double precision',
    ['0', '-0', '5e-324', '-5e-324', '1', 'NaN', 'Infinity', '-Infinity', '1e300'],
  ],
  bpchar: ['character', ['', ' ', 'a', 'a ', 'a  ', ' a', 'ä', 'ä ']],
  'text[]': ['text[]', ['{}', '{NULL}', '{""}', '{"NULL"}', '{a,b}', '{"a,b"}', '{{a},{b}}', '[2:3]={a,b}']],
};
for (const [type, [as, values]] of Object.entries(apart)) {
  test.serial(`every ${type} has a hash of its own, the same on 14 and 18: the odd ones`, async (t) => {
    const [old, recent] = [await hashesOf(14, type, as, values), await hashesOf(18, type, as, values)];
    t.deepEqual(old, recent);
    t.is(new Set(recent).size, values.length);
  });
}

const filler: Readonly<Record<string, string>> = {
  smallint: '0',
  int: '0',
  bigint: '0',
  '"char"': `'x'`,
  '"char"[]': `'{x}'`,
  boolean: 'false',
  uuid: `'00000000-0000-0000-0000-000000000000'`,
  date: `'2000-01-01'`,
  bytea: `''`,
  timestamp: `'2000-01-01'`,
  timestamptz: `'2000-01-01Z'`,
  text: `''`,
  'varchar(5)': `''`,
  'char(5)': `''`,
  bpchar: `''`,
  numeric: '0',
  real: '0',
  float8: '0',
  json: `'0'`,
  jsonb: `'0'`,
  'int[]': `'{}'`,
  'pair[]': `array[row(null, null)::pair]`,
  pair: `row(null, null)`,
  mood: `'sad'`,
  int4range: `'empty'`,
  interval: `'0'`,
  inet: `'::'`,
};

test.serial(
  'the quick way to hash filled rows gives what the other one gives, with a NULL anywhere',
  async (t) => {
    for (const major of [14, 18]) {
      const { client, reading } = sessions.get(major)!;
      const names = Object.keys(filler).map((_, index) => `c${index}`);
      const columns = Object.keys(filler).map((type, index) => `c${index} ${type}`);
      await client.query(`create type pair as (a int, b text); create type mood as enum ('sad');
      create table filled (id int not null, ${columns.join(', ')})`);
      const row = (id: number, without: readonly number[]): string =>
        `(${[id, ...Object.values(filler).map((value, index) => (without.includes(index) ? 'null' : value))].join(', ')})`;
      const rows = [
        row(1, []),
        row(1, [...names.keys()]),
        ...names.map((_, index) => row(1, [index])),
        ...names.map((_, index) => row(1, [index, (index + 1) % names.length])),
      ];
      for (const each of rows) await client.query(`insert into filled values ${each}`);
      const table = (await createReader([reading]).catalog()).tables.find(
        ({ path }) => path[1] === 'filled',
      )!;
      const hashed = table.columns.map(({ name, type, nullable }): HashedColumn => ({
        name,
        as: type,
        nullable,
      }));
      const { rows: found } = await reading.query<{ plain: string; quick: string; bare: string }>(
        `select (${rowHash(hashed)})::text as plain, (${rowHash(hashed, true)})::text as quick from public.filled`,
      );
      t.is(found.length, rows.length);
      t.deepEqual(
        found.map(({ quick }) => quick),
        found.map(({ plain }) => plain),
      );
      t.is(new Set(found.map(({ plain }) => plain)).size, rows.length);
      // Each by itself, where no other column's NULL can make up for it.
      for (const column of hashed) {
        const one = await reading.query<{ plain: string; quick: string }>(
          `select distinct (${rowHash([column])})::text as plain, (${rowHash([column], true)})::text as quick from public.filled`,
        );
        t.deepEqual(
          one.rows.map(({ quick }) => quick),
          one.rows.map(({ plain }) => plain),
          column.as,
        );
        t.is(one.rows.length, column.nullable ? 2 : 1, column.as);
      }
    }
  },
);

test.serial('a table counts as filled by the statistics of a large one, which prove nothing', async (t) => {
  const { client, reading } = sessions.get(18)!;
  await client.query(`create table large (id int primary key, a text, b text);
    insert into large select i, repeat('a', 200), case when i % 2 = 0 then 'b' end from generate_series(1, 80000) i;
    create table parts (id int, a text) partition by list (id);
    create table parts_1 partition of parts for values in (1);
    create table parts_2 partition of parts for values in (2);
    insert into parts select 1 + i % 2, repeat('a', 200) from generate_series(1, 160000) i;
    alter table large set (autovacuum_enabled = off); alter table parts_1 set (autovacuum_enabled = off);
    alter table parts_2 set (autovacuum_enabled = off)`);
  await client.query('vacuum large, parts');
  const all = createReader([reading]);
  const tables = async () => (await all.catalog()).tables;
  const ask = async (sql: string) =>
    (await reading.query<Record<string, string>>({ text: sql, types: TEXT })).rows;
  const filled = async (name: string, ...columns: string[]): Promise<boolean> => {
    const sources = new Sources(2 ** 40);
    sources.know(await tables());
    const hashed = columns.map((column) => ({ name: column, as: 'text', nullable: true }));
    return sources.filled(ask, ['public', name], hashed);
  };
  t.false(await filled('large', 'a'), 'without statistics');
  await client.query('analyze large; analyze parts_1; analyze parts_2');
  t.true(await filled('large', 'a'));
  t.false(await filled('large', 'a', 'b'));
  t.true(await filled('parts', 'a'));
  t.false(await filled('filled', 'c1'), 'small');
  await client.query('create role without_statistics; grant select on large to without_statistics');
  await client.query('revoke select on pg_stats from public');
  await reading.query('set role without_statistics');
  t.false(await filled('large', 'a'), 'statistics that may not be read');
  await reading.query('reset role');
  const columns = ['id', 'a'].map((name) => ({
    name,
    as: name === 'id' ? 'integer' : 'text',
    nullable: name !== 'id',
  }));
  const sum = async () => {
    const reader = createReader([reading]);
    await reader.catalog();
    return reader.checksum(['public', 'large'], columns);
  };
  const before = await sum();
  // What the statistics do not know of.
  await client.query(`update large set a = null where id = 80000`);
  t.notDeepEqual(await sum(), before);
  await client.query(`update large set a = null where id > 60000`);
  const quick = await sum();
  await client.query('analyze large');
  t.false(await filled('large', 'a'));
  t.deepEqual(await sum(), quick);
});
