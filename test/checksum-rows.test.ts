import test from 'ava';
import type { Finding } from '../src/core/drivers/check.ts';
import { failures, withPair, openCheck, type Pair } from './helpers/check-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

let server: TestServer;
let million: string;
let small: string;

const TABLES = `
create table items (
  id bigint primary key, name text, price numeric, weight float8, "Odd ""Name""" text, at timestamptz, doc jsonb, big text, raw json);
create table bare (a int, b text);`;

test.before(async () => {
  server = await testServer();
  const make = async (rows: number): Promise<string> => {
    const name = await server.database('rows');
    await server.sql(
      `${TABLES}
       insert into items select i, 'item ' || i, i % 1000 + 0.5, i / 7.0, md5(i::text), '2026-01-01Z'::timestamptz + i * interval '1 s',
         '{"a": 1, "b": 2}', null, null from generate_series(1, ${rows}) i;
       update items set weight = 0, big = (select string_agg(md5(i::text), '') from generate_series(1, 1000) i), raw = '{"a":1}' where id in (5, 6, 8);
       insert into bare select i % 100, 'x' from generate_series(1, ${rows / 10}) i;
       analyze`,
      name,
    );
    return name;
  };
  million = await make(1_000_000);
  small = await make(1000);
});
test.after.always(() => server?.stop());

/** A pair of one template, for one test; the template itself cannot be changed by it. */
const inPair = (template: string, work: (pair: Pair) => Promise<void>) => withPair(server, template, work);

/** Messages and details, each on lines of their own. */
const said = (findings: readonly Finding[]): string =>
  findings.map(({ message, detail }) => `${message}\n${detail ?? ''}`).join('\n');

const find = async (pair: Pair, options: unknown = {}) =>
  openCheck('checksums', options).run(await pair.context());

/** What is done to green, and the line that must tell of it. */
const corruptions: Record<string, [sql: string, says: RegExp]> = {
  'a value': [`update items set name = 'other' where id = 77`, /^ {2}id=77: name differs$/m],
  'values swapped between two rows': [
    `update items set name = case id when 100 then 'item 200' else 'item 100' end where id in (100, 200)`,
    /^ {2}id=100: name differs$[^]*^ {2}id=200: name differs$/m,
  ],
  'a lost row': ['delete from items where id = 400', /^ {2}id=400: missing on green$/m],
  'a row too many': [`insert into items (id, name) values (-3, 'new')`, /^ {2}id=-3: only on green$/m],
  'a row beyond the last key': [
    `insert into items (id) values (99999999)`,
    /^ {2}id=99999999: only on green$/m,
  ],
  'minus zero': [`update items set weight = '-0' where id = 5`, /^ {2}id=5: weight differs$/m],
  NaN: [`update items set price = 'NaN' where id = 17`, /^ {2}id=17: price differs$/m],
  'another scale': [`update items set price = price + 0.00 where id = 18`, /^ {2}id=18: price differs$/m],
  'the empty text instead of NULL': [`update items set big = '' where id = 19`, /^ {2}id=19: big differs$/m],
  'a blank at the end': [`update items set name = name || ' ' where id = 20`, /^ {2}id=20: name differs$/m],
  'a value out of line': [
    `update items set big = overlay(big placing '!' from 20000) where id = 8`,
    /^ {2}id=8: big differs$/m,
  ],
  'json written otherwise': [`update items set raw = '{"a": 1}' where id = 6`, /^ {2}id=6: .*raw differs$/m],
  'a second': [`update items set at = at + interval '1 s' where id = 21`, /^ {2}id=21: at differs$/m],
  'an odd name': [
    `update items set "Odd ""Name""" = '' where id = 22`,
    /^ {2}id=22: "Odd ""Name""" differs$/m,
  ],
};

test.serial('each corruption of one row among a million is found, and the row named', (t) =>
  inPair(million, async (pair) => {
    // What looks different and is the same.
    await pair.green.query(
      `update items set doc = '{"b": 2, "a": 1}', at = at at time zone 'Asia/Tokyo' at time zone 'Asia/Tokyo' where id = 23`,
    );
    t.deepEqual(failures(await find(pair)), []);
    for (const [sql] of Object.values(corruptions)) await pair.green.query(sql);
    const text = said(await find(pair));
    for (const [name, [, says]] of Object.entries(corruptions)) t.regex(text, says, name);
    t.notRegex(text, /id=23/);
    t.notRegex(text, /were not looked for/);
    t.log(text);
  }),
);

for (const [name, [sql, says]] of Object.entries(corruptions)) {
  test.serial(`found by itself: ${name}`, (t) =>
    inPair(small, async (pair) => {
      await pair.green.query(sql);
      const text = said(await find(pair));
      t.regex(text, says);
      const lines = text.split('\n').filter((line) => /^ {2}\S/.test(line));
      t.true(lines.length <= 2, text);
    }),
  );
}

test.serial('values are shown when they are asked for, and never else', (t) =>
  inPair(small, async (pair) => {
    await pair.green.query(`update items set name = 'secret word', price = null where id = 7`);
    t.notRegex(said(await find(pair)), /secret word/);
    t.regex(
      said(await find(pair, { 'show-values': true })),
      /id=7: name "item 7" → "secret word", price "7\.5" → NULL/,
    );
  }),
);

test.serial('without a key, equal rows are counted: two that are lost, one that is there twice', (t) =>
  inPair(small, async (pair) => {
    await pair.green.query(
      `delete from bare where ctid in (select ctid from bare where a = 1 limit 1);
       delete from bare where ctid in (select ctid from bare where a = 2 limit 1)`,
    );
    const lost = said(await find(pair));
    t.regex(lost, /bare differs: 100 rows on blue, 98 rows on green/);
    t.is(
      lost.match(/a row as at public\.bare \(0,\d+\) on blue: 1 time on blue, 0 times on green/g)?.length,
      2,
      lost,
    );
    await pair.green.query(`insert into bare values (3, 'x'), (4, 'x')`);
    const doubled = said(await find(pair));
    t.regex(doubled, /1 time on blue, 2 times on green/);
  }),
);

test.serial('where everything differs, the first rows are shown, and that there are more', (t) =>
  inPair(small, async (pair) => {
    await pair.green.query(`update items set name = name || '!'`);
    const text = said(await find(pair));
    t.regex(text, /items differs in name/);
    t.is(text.match(/: name differs$/gm)?.length, 20);
    t.regex(text, /and 980 rows besides|and more, which were not looked for/);
  }),
);

test.serial('keys that begin alike for long are told apart', (t) =>
  inPair(small, async (pair) => {
    for (const side of [pair.blue, pair.green])
      await side.query(
        `create table pages (url text primary key, title text); insert into pages select repeat('https://example.org/', 20) || i, 'page ' || i from generate_series(1, 50) i`,
      );
    await pair.green.query(`update pages set title = 'other' where url like '%/33'`);
    const text = said(await find(pair, { 'show-values': true }));
    t.is(text.match(/title "page 33" → "other"/g)?.length, 1, text);
    t.is(text.match(/→/g)?.length, 1, text);
  }),
);

test.serial('a key that green has lost, with a row doubled', (t) =>
  inPair(small, async (pair) => {
    await pair.green.query(
      'alter table items drop constraint items_pkey; insert into items select * from items where id = 30',
    );
    t.regex(said(await find(pair)), /id=30: only on green/);
  }),
);

test.serial('a column that a migration has retyped or moved is held against an expression over blue', (t) =>
  inPair(small, async (pair) => {
    await pair.green.query(
      `alter table items add column cents bigint; update items set cents = (price * 100)::bigint;
       alter table items alter at type text using to_char(at at time zone 'UTC', 'YYYY-MM-DD')`,
    );
    const options = {
      as: { 'items.cents': '(price * 100)::bigint', 'public.items.at': "to_char(at, 'YYYY-MM-DD')" },
    };
    t.deepEqual(failures(await find(pair, options)), []);
    // Without it, one differs, and of the other nothing is known.
    t.regex(said(await find(pair)), /items differs in at/);
    await pair.green.query(
      'update items set cents = cents + 1 where id = 5; update items set cents = null where id = 6',
    );
    const wrong = said(await find(pair, { ...options, 'show-values': true }));
    t.regex(wrong, /items differs in cents/);
    t.regex(wrong, /^ {2}id=5: cents "550" → "551"$/m);
    t.regex(wrong, /^ {2}id=6: cents "650" → NULL$/m);
    t.regex(
      said(await find(pair, { as: { 'items.sents': '1' } })),
      /as names items\.sents, which matches nothing/,
    );
    const [broken] = (await find(pair, { as: { 'items.cents': 'nothing * 2' } })).filter(
      ({ severity }) => severity === 'unknown',
    );
    t.regex(broken!.message, /public\.items could not be read on blue: column "nothing" does not exist/);
  }),
);

test.serial(
  'a sample proves the keys of all rows and the values of some, and says that it is a sample',
  (t) =>
    inPair(small, async (pair) => {
      const sampled = async () => find(pair, { sample: '10%' });
      const same = await sampled();
      t.deepEqual(failures(same), []);
      t.regex(
        said(same),
        /a sample, no proof: in 1 table every row's key was compared, and the other columns of 10 % of the rows/,
      );
      // One by one: those in the sample are seen, about a tenth of them.
      const seen: number[] = [];
      for (let id = 101; id <= 160; id += 1) {
        await pair.green.query(`update items set price = price + 1 where id = ${id}`);
        if (failures(await sampled()).length > 0) seen.push(id);
        await pair.green.query(`update items set price = price - 1 where id = ${id}`);
      }
      t.true(seen.length > 0 && seen.length < 20, String(seen));
      await pair.green.query(`update items set price = price + 1 where id in (${seen[0]})`);
      t.regex(said(await sampled()), new RegExp(`id=${seen[0]}: price differs`));
      await pair.green.query(`update items set price = price - 1 where id in (${seen[0]})`);
      // A row that came in place of another, in the sample or not.
      for (const [id, other] of [
        [seen[0]!, 5001],
        [seen.includes(200) ? 201 : 200, 5002],
      ]) {
        await pair.green.query(`update items set id = ${other} where id = ${id}`);
        t.regex(
          said(await sampled()),
          new RegExp(`id=${id}: missing on green[^]*id=${other}: only on green`),
        );
        await pair.green.query(`update items set id = ${id} where id = ${other}`);
      }
      // Without a key all of it is read.
      await pair.green.query('update bare set a = 777 where ctid in (select min(ctid) from bare)');
      t.regex(said(await sampled()), /public\.bare differs/);
      for (const sample of ['0%', '100%', '5', 5, 'all', '-1%'])
        t.throws(() => openCheck('checksums', { sample }), undefined, String(sample));
    }),
);
