import test from 'ava';
import type { Finding } from '../src/core/drivers/check.ts';
import { inGroups } from '../src/checks/rows/small-tables.ts';
import type { Column, Table } from '../src/core/database/catalog.ts';
import { displayPath } from '../src/util/sql.ts';
import { openCheck, withPair, type Pair } from './helpers/check-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

const COUNT = 40;
let server: TestServer;
let template: string;

test.before(async () => {
  server = await testServer();
  template = await server.database('small');
  const plain = Array.from(
    { length: COUNT },
    (_, index) => `create table "T ${index}" (id int primary key, "na""me" text, price numeric);
      insert into "T ${index}" select i, 'row ' || i, i / 2.0 from generate_series(1, 50) i;`,
  );
  await server.sql(
    `${plain.join('\n')}
     create table parts (id int primary key, x text) partition by range (id);
     create table parts_a partition of parts for values from (0) to (10);
     create table parts_b partition of parts for values from (10) to (20);
     insert into parts select i, 'x' from generate_series(0, 19) i;
     create table parent (id int); create table child () inherits (parent);
     insert into parent values (1); insert into child values (2), (3);
     create table bare (a int, b text); insert into bare values (1, null), (1, null), (2, 'x');
     create table "empty" (id int primary key);
     create table bigger (id int primary key, filler text);
     insert into bigger select i, repeat('x', 1000) from generate_series(1, 1000) i;
     create table unknown (id int primary key) with (autovacuum_enabled = false);
     analyze;
     insert into unknown values (1);`,
    template,
  );
});
test.after.always(() => server?.stop());

const inPair = (work: (pair: Pair) => Promise<void>) => withPair(server, template, work);

const said = (findings: readonly Finding[]): string =>
  findings.map(({ severity, message, detail }) => `${severity} ${message}\n${detail ?? ''}`).join('\n');

/** The check, and how many tables each of its statements on blue read. */
async function compare(pair: Pair, options: unknown = {}, before?: () => Promise<unknown>) {
  const context = await pair.context();
  await before?.();
  const sizes: number[] = [];
  const real = context.blue;
  const blue: typeof real = {
    ...real,
    checksum: (...given) => {
      sizes.push(1);
      return real.checksum(...given);
    },
    checksums: (tables) => {
      sizes.push(tables.length);
      return real.checksums(tables);
    },
  };
  return { sizes, found: said(await openCheck('checksums', options).run({ ...context, blue })) };
}

const of = (...bytes: [blue: number, green?: number]) => {
  const [blue, green = blue] = bytes.map(
    (each) => ({ bytes: each, columns: [] as Column[], partitioned: false }) as unknown as Table,
  );
  return { blue: blue!, green: green! };
};

test('small tables are read together, as long as they are few and small on both sides', (t) => {
  const sizes = (tables: readonly ReturnType<typeof of>[]): number[] =>
    inGroups(tables).map((group) => group.length);
  const kb = 1024;
  t.deepEqual(sizes([]), []);
  t.deepEqual(sizes(Array.from({ length: 40 }, () => of(8 * kb))), [16, 16, 8]);
  t.deepEqual(sizes(Array.from({ length: 10 }, () => of(500 * kb))), [8, 2], 'no more than 4 MB at once');
  // One that is large does not part those around it; nothing is known of one without a size.
  t.deepEqual(
    sizes([of(8 * kb), of(999 * kb), of(8 * kb), of(8 * kb, 999 * kb), of(0), of(8 * kb, 0)]),
    [2, 1, 1, 1, 1],
  );
  const wide = { ...of(8 * kb).blue, columns: Array.from({ length: 500 }, () => ({}) as Column) };
  t.deepEqual(
    sizes(Array.from({ length: 4 }, () => ({ blue: wide, green: wide }))),
    [3, 1],
    'and not too many columns',
  );
  const parts = { ...of(8 * kb).blue, partitioned: true };
  t.deepEqual(
    sizes([{ blue: parts, green: parts }, of(8 * kb), { blue: of(8 * kb).blue, green: parts }]),
    [1, 1, 1],
  );
  const tables = Array.from({ length: 99 }, (_, index) => of((index * 37 * kb) % (700 * kb)));
  const size = ({ blue }: (typeof tables)[number]): number => blue.bytes;
  t.deepEqual(
    inGroups(tables)
      .flat()
      .map(size)
      .toSorted((a, b) => a - b),
    tables.map(size).toSorted((a, b) => a - b),
    'all of them, once',
  );
});

test('every row is compared, and what differs is named', (t) =>
  inPair(async (pair) => {
    const same = await compare(pair);
    t.deepEqual(
      same.sizes.toSorted((a, b) => b - a),
      [16, 16, 11, 1, 1, 1, 1],
    );
    t.regex(same.found, /^ok 3,027 rows in 47 tables \(130 columns\) have the same checksums on both sides/m);
    await pair.green.query(`
      update "T 0" set price = price + 1 where id = 50;
      update "T 17" set "na""me" = case id when 1 then 'row 2' else 'row 1' end where id in (1, 2);
      delete from "T 39" where id = 7;
      update parts set x = null where id = 15;
      update child set id = 4 where id = 3;
      delete from bare where ctid = '(0,1)';
      update bigger set filler = 'y' where id = 3;
      update unknown set id = 2;`);
    const { found } = await compare(pair);
    for (const says of [
      /public\."T 0" differs in price[^]*?^ {2}id=50: price differs$/m,
      /public\."T 17" differs \(the values of "na""me" are the same[^]*?^ {2}id=1: "na""me" differs$[^]*?^ {2}id=2: "na""me" differs$/m,
      /public\."T 39" differs: 50 rows on blue, 49 rows on green[^]*?^ {2}id=7: missing on green$/m,
      /public\.parts differs in x[^]*?^ {2}id=15: x differs$/m,
      /public\.child differs/,
      /public\.bare differs: 3 rows on blue, 2 rows on green/,
      /public\.bigger differs in filler[^]*?^ {2}id=3: filler differs$/m,
      /public\.unknown differs/,
    ])
      t.regex(found, says);
    t.is(found.match(/^failure /gm)?.length, 8, found);
    const order = Array.from(found.matchAll(/^failure public\.(\S+|".*?") differs/gm), ([, name]) => name);
    const tables = (await pair.context()).catalogs.blue.tables.map(({ path }) => displayPath(path.slice(1)));
    t.deepEqual(
      order,
      tables.filter((name) => order.includes(name)),
      'in the order of the tables, however they were read',
    );
  }));

test('a sample is one of small tables too', (t) =>
  inPair(async (pair) => {
    await pair.green.query('delete from "T 3" where id = 9; update bare set b = 1 where a = 2');
    const { found, sizes } = await compare(pair, { sample: '10%' });
    t.is(Math.max(...sizes), 16);
    t.regex(found, /public\."T 3" differs[^]*?id=9: missing on green/, 'every key is compared');
    t.regex(found, /public\.bare differs in b/, 'and every value of what has no key');
    t.regex(found, /sample/);
    const changes = Array.from(
      { length: COUNT },
      (_, index) => `update "T ${index}" set price = -1 where id = ${index + 1}`,
    );
    await pair.green.query(changes.join(';'));
    const seen = (await compare(pair, { sample: '10%' })).found.match(/ differs in price/g)?.length ?? 0;
    t.true(seen > 0 && seen < COUNT / 2, `${seen} of ${COUNT} changes are in the sample`);
  }));

test('one that cannot be read does not hide the others, and does not pass', (t) =>
  inPair(async (pair) => {
    const { found, sizes } = await compare(pair, {}, () =>
      pair.green.query(
        `drop table "T 5"; update "T 6" set price = 0 where id = 1; delete from "T 30" where id = 1`,
      ),
    );
    t.regex(found, /^unknown public\."T 5" could not be read on green: .*does not exist/m);
    t.regex(found, /public\."T 6" differs in price[^]*?^ {2}id=1: price differs$/m);
    t.regex(found, /public\."T 30" differs/);
    t.is(found.match(/^(failure|unknown) /gm)?.length, 3, found);
    // Four are always read by themselves.
    const alone = sizes.filter((each) => each === 1).length - 4;
    t.true(sizes.includes(alone), `each of its group by itself: ${sizes.join(' ')}`);
  }));

test('a table that somebody has locked holds nobody back who wants the others', (t) =>
  inPair(async (pair) => {
    const [{ name }] = (await pair.green.query<{ name: string }>('select current_database() as name'))
      .rows as [{ name: string }];
    const other = await server.connect(name);
    const compared = compare(pair, {}, () => pair.green.query('begin; lock table "T 11"'));
    await until(
      'the reading waits',
      async () => (await other.query('select from pg_locks where not granted')).rowCount === 1,
    );
    // The same statement has read, or would read, this one.
    await other.query(`set lock_timeout = '3s'; begin; lock table "T 10"; rollback`);
    await pair.green.query('rollback');
    const { found, sizes } = await compared;
    t.regex(found, /^ok 3,027 rows in 47 tables/m);
    t.true(sizes.filter((size) => size === 1).length > 15);
    await other.end();
  }));
