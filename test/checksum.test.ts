import test from 'ava';
import * as fc from 'fast-check';
import type pg from 'pg';
import type { Checksum, HashedColumn, Reader } from '../src/core/database/catalog.ts';
import { rowHash } from '../src/databases/postgres/reading/checksum.ts';
import { createReader, prepareReaderSession } from '../src/databases/postgres/reading/reader.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

interface Place {
  readonly client: pg.Client;
  readonly reader: Reader;
}

const servers: TestServer[] = [];
const places = new Map<number, Place>();
let next = 0;

test.before(async () => {
  for (const major of [15, 18]) {
    const server = await testServer(major);
    servers.push(server);
    const name = await server.database();
    const client = await server.connect(name);
    const reading = await server.connect(name);
    await prepareReaderSession(reading);
    places.set(major, { client, reader: createReader([reading]) });
  }
});
test.after.always(() => Promise.all(servers.map((server) => server.stop())));

/** Columns of a table as both sides of a comparison would hash them. */
async function columnsOf(reader: Reader, name: string): Promise<HashedColumn[]> {
  const table = (await reader.catalog()).tables.find(({ path }) => path[1] === name)!;
  return table.columns.map((column) => ({ name: column.name, as: column.type, nullable: column.nullable }));
}

/** Makes a table of these columns and rows, and gives its checksum. */
async function checksumOf(major: number, columns: string, rows: readonly string[]): Promise<Checksum> {
  const { client, reader } = places.get(major)!;
  const name = `t${(next += 1)}`;
  await client.query(`create table ${name} (${columns})`);
  if (rows.length > 0) await client.query(`insert into ${name} values ${rows.join(', ')}`);
  return reader.checksum(['public', name], await columnsOf(reader, name));
}

const differences: Record<string, [columns: string, before: string[], after: string[]]> = {
  'one value': ['a int, b text', [`(1, 'x')`, `(2, 'y')`], [`(1, 'x')`, `(2, 'z')`]],
  'values of a column swapped between two rows': [
    'a int, b text',
    [`(1, 'x')`, `(2, 'y')`],
    [`(1, 'y')`, `(2, 'x')`],
  ],
  'integers swapped between two rows': ['a int, b int', ['(1, 10)', '(2, 20)'], ['(1, 20)', '(2, 10)']],
  'values swapped between columns': ['a int, b int', ['(1, 2)'], ['(2, 1)']],
  'zero swapped between floats': ['a float8, b float8', ['(0, 5)'], ['(5, 0)']],
  'zero swapped between numerics': ['a numeric, b numeric', ['(0, 5)'], ['(5, 0)']],
  'the epoch swapped between timestamps': [
    'a timestamp, b timestamp',
    [`('1970-01-01', '2000-01-01')`],
    [`('2000-01-01', '1970-01-01')`],
  ],
  'a row doubled, another gone': ['a int', ['(1)', '(2)'], ['(1)', '(1)']],
  'a pair of rows doubled': ['a int', ['(1)', '(1)', '(2)', '(2)'], ['(1)', '(1)', '(1)', '(1)']],
  'a row three times': ['a int', ['(1)'], ['(1)', '(1)', '(1)']],
  'NULL and 0': ['a int', ['(null)'], ['(0)']],
  'NULL and the empty text': ['a text', ['(null)'], [`('')`]],
  'NULL and false': ['a boolean', ['(null)'], ['(false)']],
  'NULL and empty bytes': ['a bytea', ['(null)'], [`('')`]],
  'NULL and its timestamp': ['a timestamptz', ['(null)'], [`('2000-01-01 00:00Z')`]],
  'NULL and its date': ['a date', ['(null)'], [`('2000-01-01')`]],
  'NULL and its uuid': ['a uuid', ['(null)'], [`('00000000-0000-0000-0000-000000000000')`]],
  'NULL and an empty array': ['a int[]', ['(null)'], [`('{}')`]],
  'NULL in another column': ['a int, b int', ['(null, 0)'], ['(0, null)']],
  'NULL and a composite of NULLs': [
    'a pg_catalog.aclitem, b int4range',
    ['(null, null)'],
    [`(null, 'empty')`],
  ],
  'JSON null and NULL': ['a jsonb', [`('null')`], ['(null)']],
  '1 and 2^32': ['a bigint', ['(1)'], ['(4294967296)']],
  '-1 and its fold': ['a bigint', ['(-1)'], ['(4294967295)']],
  '1.5 and 1.50': ['a numeric', ['(1.5)'], ['(1.50)']],
  '1.5 and -1.5': ['a numeric', ['(1.5)'], ['(-1.5)']],
  'NaN and Infinity': ['a numeric', [`('NaN')`], [`('Infinity')`]],
  'Infinity and -Infinity': ['a numeric', [`('Infinity')`], [`('-Infinity')`]],
  '0 and -0': ['a float8', ['(0)'], [`('-0')`]],
  'neighbouring floats': ['a float8', ['(0.3)'], ['(0.30000000000000004)']],
  'ab, c and a, bc': ['a text, b text', [`('ab', 'c')`], [`('a', 'bc')`]],
  'spaces at the end': ['a text', [`('a')`], [`('a ')`]],
  'spaces at the end of bpchar': ['a bpchar', [`('a')`], [`('a ')`]],
  'large and small letters': ['a text', [`('a')`], [`('A')`]],
  '1 µs': ['a timestamp', [`('2026-01-01 00:00:00.000001')`], [`('2026-01-01 00:00:00.000002')`]],
  '1 µs in a far century': [
    'a timestamp',
    [`('9999-01-01 00:00:00.000001')`],
    [`('9999-01-01 00:00:00.000002')`],
  ],
  '1 µs with time zone': [
    'a timestamptz',
    [`('0001-01-01 00:00:00.000001Z')`],
    [`('0001-01-01 00:00:00.000002Z')`],
  ],
  'a time that folds alike': ['a timestamp', [`('2000-01-01')`], [`('2000-01-01 01:11:34.967296')`]],
  'infinity and -infinity': ['a timestamp', [`('infinity')`], [`('-infinity')`]],
  'infinite dates': ['a date', [`('infinity')`], [`('-infinity')`]],
  'a month and 30 days': ['a interval', [`('1 month')`], [`('30 days')`]],
  'json that jsonb would take for the same': ['a json', [`('{"a": 1}')`], [`('{"a":1}')`]],
  'bounds of an array': ['a int[]', [`('{1}')`], [`('[2:2]={1}')`]],
  bytes: ['a bytea', [`('\\x0001')`], [`('\\x0100')`]],
  'a bit': ['a bit varying(8)', [`(B'01')`], [`(B'1')`]],
};

for (const major of [15, 18]) {
  for (const [name, [columns, before, after]] of Object.entries(differences)) {
    test.serial(`sees a difference on ${major}: ${name}`, async (t) => {
      const [one, again, other] = await Promise.all([
        checksumOf(major, columns, before),
        checksumOf(major, columns, before.toReversed()),
        checksumOf(major, columns, after),
      ]);
      t.deepEqual(one, again);
      t.notDeepEqual(one, other);
      if (before.length === after.length) t.notDeepEqual(one.sum, other.sum);
    });
  }
}

test.serial('everything that can be NULL is told from what stands for it, in wide rows too', async (t) => {
  const { client, reader } = places.get(18)!;
  const count = 70;
  const list = (each: (index: number) => string): string =>
    Array.from({ length: count }, (_, i) => each(i)).join(', ');
  await client.query(`create table nulls (${list((i) => `c${i} int`)})`);
  await client.query(`insert into nulls values (${list(() => '0')})`);
  const columns = await columnsOf(reader, 'nulls');
  const seen = new Set([(await reader.checksum(['public', 'nulls'], columns)).sum]);
  for (let i = 0; i < count; i += 1) {
    await client.query(`update nulls set c${i} = null`);
    seen.add((await reader.checksum(['public', 'nulls'], columns)).sum);
    await client.query(`update nulls set c${i} = 0`);
  }
  t.is(seen.size, count + 1);
});

/** A session whose stack is a quarter of the default: what fits into it fits everywhere. */
async function narrowStack(): Promise<pg.Client> {
  const { client } = places.get(15)!;
  const { d } = (await client.query<{ d: string }>('select current_database() d')).rows[0]!;
  const narrow = await servers[0]!.connect(d);
  await prepareReaderSession(narrow);
  await narrow.query(`set max_stack_depth = '512kB'`);
  return narrow;
}

test.serial('1,600 columns: no limit of depth, and places still count', async (t) => {
  const { client, reader } = places.get(15)!;
  const types = ['bigint', 'int', 'text', 'timestamptz', 'numeric'];
  const columns = Array.from({ length: 1600 }, (_, i) => ({
    name: `c${i}`,
    as: types[i % 5]!,
    nullable: true,
  }));
  await client.query(`create table wide (${columns.map(({ name, as }) => `${name} ${as}`).join(', ')})`);
  await client.query(`insert into wide (c0, c500, c1595) values (1, 2, 3), (4, 5, 6)`);
  t.true(rowHash(columns).length < 400_000);
  const session = createReader([await narrowStack()]);
  t.is((await session.checksum(['public', 'wide'], columns)).rows, 2n);
  const first = await reader.checksum(['public', 'wide'], columns);
  await client.query(`update wide set c500 = c1595, c1595 = c500 where c0 = 1`);
  t.not((await reader.checksum(['public', 'wide'], columns)).sum, first.sum);
});

test.serial('tables without columns, large values, domains, enums, composites, extensions', async (t) => {
  const sums: string[] = [];
  for (const major of [15, 18]) {
    const { client, reader } = places.get(major)!;
    await client.query(`
      create schema odd; create type odd."Mood" as enum ('sad', 'it''s'); create domain odd."Pos" as int check (value > 0);
      create domain odd."When" as timestamp check (value > '2001-01-01'); create domain odd."Bytes" as bytea not null;
      create type odd."Pair" as (a int, "B b" text); create extension citext; create table nothing ();
      create table "it's ""odd""" ("Mood" odd."Mood", "pos.1" odd."Pos", w odd."When", b odd."Bytes", "p'air" odd."Pair",
        ci citext, a odd."Mood"[], c char(5), "ümläut" xml, m money, n name, q "char");
      insert into nothing default values; insert into nothing default values;
      insert into "it's ""odd""" values ('it''s', 3, 'infinity', '\\x00', row(1, null), 'Ab', '{sad}', 'x', '<a/>', 1.5, 'n', 'c'),
        (null, null, null, '', row(null, null), null, null, null, null, null, null, null)`);
    t.is((await reader.checksum(['public', 'nothing'], [])).rows, 2n);
    const name = `it's "odd"`;
    const sum = await reader.checksum(['public', name], await columnsOf(reader, name));
    sums.push(sum.sum);
    await client.query(`update "it's ""odd""" set "p'air" = null where ci is null`);
    t.not((await reader.checksum(['public', name], await columnsOf(reader, name))).sum, sum.sum);
    await client.query(
      `update "it's ""odd""" set "p'air" = row(null, null) where ci is null; vacuum full "it's ""odd"""`.split(
        ';',
      )[0]!,
    );
    await client.query(`vacuum full "it's ""odd"""`);
    t.deepEqual(await reader.checksum(['public', name], await columnsOf(reader, name)), sum);
    await client.query(
      `create table big as select repeat(md5('x'), 3200000) as t, decode(repeat('00ff', 50000000), 'hex') as b`,
    );
    t.is((await reader.checksum(['public', 'big'], await columnsOf(reader, 'big'))).rows, 1n);
  }
  t.is(sums[0], sums[1]);
});

test.serial('inheritance children count once, partitions through their root', async (t) => {
  const { client, reader } = places.get(18)!;
  await client.query(`create table parent (a int); create table child () inherits (parent);
    insert into parent values (1); insert into child values (2), (3);
    create table parts (a int) partition by list (a); create table part1 partition of parts for values in (1);
    insert into parts values (1)`);
  t.is(await reader.countRows(['public', 'parent']), 1n);
  t.is(await reader.countRows(['public', 'parts']), 1n);
  t.is((await reader.checksum(['public', 'parent'], [])).rows, 1n);
  t.is((await reader.checksum(['public', 'parts'], [])).rows, 1n);
});

test.serial('large objects: content, number and readability', async (t) => {
  const [server] = servers;
  const { client, reader } = places.get(15)!;
  t.deepEqual(await reader.largeObjects(), { rows: 0n, sum: '0' });
  await client.query(`select lo_from_bytea(4711, '\\x01'), lo_create(4712)`);
  const first = (await reader.largeObjects())!;
  t.is(first.rows, 2n);
  await client.query(`select lo_put(4711, 0, '\\x02')`);
  t.not((await reader.largeObjects())!.sum, first.sum);
  await client.query(`create role nobody_special`);
  const database = (await client.query<{ d: string }>('select current_database() d')).rows[0]!.d;
  const limited = await server!.connect(database);
  await prepareReaderSession(limited);
  await limited.query('set role nobody_special');
  t.is(await createReader([limited]).largeObjects(), undefined);
});

test.serial('query: text values, one statement, nothing written, the default search path', async (t) => {
  const { client, reader } = places.get(18)!;
  const { d } = (await client.query<{ d: string }>('select current_database() d')).rows[0]!;
  await client.query(`create schema app; create table app.here (a bigint); insert into app.here values (9007199254740993);
    alter database "${d}" set search_path = app`);
  const fresh = await servers[1]!.connect(d);
  await prepareReaderSession(fresh);
  const own = createReader([fresh]);
  t.deepEqual(await own.query('select a, true as b, null as c, 1.50 as a from here'), [
    { a: '9007199254740993', b: 't', c: null, 'a (2)': '1.50' },
  ]);
  await t.throwsAsync(own.query('delete from here'), { message: /read-only/ });
  await t.throwsAsync(own.query('commit; delete from app.here'), { message: /multiple commands/ });
  await own.query(`set TimeZone = 'Asia/Tokyo'`);
  t.deepEqual(await own.query('show TimeZone'), [{ TimeZone: 'UTC' }]);
  t.deepEqual(await own.query(`select 'now'::text`), [{ text: 'now' }]);
  await own.query('commit');
  t.is(await own.countRows(['app', 'here']), 1n);
  await t.throwsAsync(reader.countRows(['app', 'missing']));
  t.is(await reader.countRows(['app', 'here']), 1n);
});

test.serial('rows that a policy hides are an error', async (t) => {
  const { client } = places.get(18)!;
  const { d } = (await client.query<{ d: string }>('select current_database() d')).rows[0]!;
  await client.query(`create role reader_rls; create table public.hidden (a int); grant select on public.hidden to reader_rls;
    alter table public.hidden enable row level security; insert into public.hidden values (1)`);
  const limited = await servers[1]!.connect(d);
  await prepareReaderSession(limited);
  await limited.query('set role reader_rls');
  await t.throwsAsync(createReader([limited]).countRows(['public', 'hidden']), {
    message: /row-level security/,
  });
});

const value = fc.option(
  fc.oneof(
    fc.constantFrom('0', '-0', '1', '4294967296', '-1', '1.5', '1.50'),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  ),
);
const row = fc.tuple(
  value.map((v) => (v === null ? null : v.split('.')[0]!)),
  value,
  value,
  fc.option(fc.constantFrom('', 'a', 'b', 'ab', 'a ', '0')),
);
type PropertyRow = [string | null, string | null, string | null, string | null];

test.serial('checksums are equal just when the rows are', async (t) => {
  const { client, reader } = places.get(18)!;
  await client.query(`create table pa (a int8, b numeric, c float8, d text); create table pb (like pa)`);
  const columns = await columnsOf(reader, 'pa');
  const fill = async (table: string, rows: PropertyRow[]): Promise<{ text: string[]; sum: Checksum }> => {
    await client.query(`truncate ${table}`);
    await client.query(
      `insert into ${table} select * from unnest($1::int8[], $2::numeric[], $3::float8[], $4::text[])`,
      [0, 1, 2, 3].map((i) => rows.map((r) => r[i])),
    );
    const text = (await client.query<{ r: string }>(`select r::text from ${table} r`)).rows
      .map(({ r }) => r)
      .sort();
    return { text, sum: await reader.checksum(['public', table], columns) };
  };
  const rows = fc.array(row, { maxLength: 5 }) as fc.Arbitrary<PropertyRow[]>;
  // Two unrelated sets are hardly ever equal: the second is the first, shuffled, with at most a small change.
  const pair = rows.chain((first) =>
    fc.record({
      first: fc.constant(first),
      shuffled: fc.shuffledSubarray(first, { minLength: first.length }),
      change: fc.option(fc.tuple(fc.nat(4), fc.nat(4), fc.nat(3), fc.nat(3))),
      extra: fc.option(row, { freq: 5 }) as fc.Arbitrary<PropertyRow | null>,
    }),
  );
  await fc.assert(
    fc.asyncProperty(pair, async ({ first, shuffled, change, extra }) => {
      const second = shuffled.map((entry) => [...entry] as PropertyRow);
      if (change && second.length > 0) {
        const [r1, r2, c1, c2] = change;
        const [x, y] = [second[r1 % second.length]!, second[r2 % second.length]!];
        const column = c1 === 0 || c2 === 0 || c1 === 3 || c2 === 3 ? [c1, c1] : [c1, c2];
        const held = x[column[0]!]!;
        x[column[0]!] = y[column[1]!]!;
        y[column[1]!] = held;
      }
      if (extra) second.push(extra);
      const [a, b] = [await fill('pa', first), await fill('pb', second)];
      t.is(
        JSON.stringify(a.text) === JSON.stringify(b.text),
        a.sum.rows === b.sum.rows && a.sum.sum === b.sum.sum,
        `${JSON.stringify(a.text)} ${JSON.stringify(b.text)}`,
      );
    }),
    { numRuns: 150 },
  );
});
