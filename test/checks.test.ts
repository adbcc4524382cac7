import test from 'ava';
import { readdir, readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import type { Expectations } from '../src/core/playbook.ts';
import { checks } from '../src/checks/registry.ts';
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

test.before(async () => {
  for (const major of [15, 18]) {
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
});
test.after.always(() => Promise.all(servers.map(({ server }) => server.stop())));

checkContract(test, () => servers, {
  name: 'schema',
  plant: {
    sql: 'alter table common_table alter a type bigint',
    says: /~ column public\.common_table\.a +integer → bigint +CHANGED/,
  },
});
checkContract(test, () => servers, {
  name: 'row-counts',
  plant: {
    sql: 'delete from common_table where a = 1',
    says: /public\.common_table has 2 rows on blue and 1 on green, 1 fewer/,
  },
});
checkContract(test, () => servers, {
  name: 'checksums',
  plant: {
    sql: `update common_table set b = 'z' where a = 1`,
    says: /public\.common_table differs in b: 2 rows on blue, 2 rows on green.*ignore-columns: \[public\.common_table\.b\]/,
  },
});
checkContract(test, () => servers, {
  name: 'sequences',
  plant: {
    sql: `select setval('common_table_id_seq', 1)`,
    says: /common_table_id_seq would give 2 next on green, where blue is at 3/,
  },
});
checkContract(test, () => servers, {
  name: 'sql',
  options: { query: 'select sum(a) from common_table', equals: 3 },
  plant: { sql: 'update common_table set a = 5 where a = 1', says: /gives "7" instead of 3/ },
});
checkContract(test, () => servers, {
  name: 'command',
  options: {
    run: `node -e "const pg=require('pg');const c=new pg.Client(process.env.DATABASE_URL);c.connect().then(()=>c.query('select a from common_table where a=1')).then(r=>{console.log('found',r.rowCount);return c.end().then(()=>process.exit(r.rowCount===1?0:3))})"`,
    timeout: '30s',
  },
  plant: { sql: 'delete from common_table where a = 1', says: /failed with exit code 3[^]*found 0/ },
});

/** One pair on 18, from the shopping fixture or the odd one. */
function inPair(template: number, work: (pair: Pair) => Promise<void>): Promise<void> {
  const { server, templates } = servers[1]!;
  return withPair(server, templates[template]!, work);
}

const find = async (pair: Pair, name: string, options: unknown = {}, expect: Partial<Expectations> = {}) =>
  openCheck(name, options).run(await pair.context(expect));

test.serial('the migrations of the fixture pass under what its playbook expects, and say what changed', (t) =>
  inPair(0, async (pair) => {
    const folder = new URL('../fixtures/shopping-points/', import.meta.url);
    const { expect } = parse(await readFile(new URL('fixture.yml', folder), 'utf8')) as {
      expect: Expectations;
    };
    const files = (await readdir(new URL('migrations/', folder)))
      .filter((file) => !file.includes('.down.'))
      .sort();
    for (const file of files) {
      const text = await readFile(new URL(`migrations/${file}`, folder), 'utf8');
      for (const statement of text.includes('no-transaction') ? text.split(';\n') : [text])
        await pair.green.query(statement);
    }
    for (const name of ['schema', 'row-counts', 'checksums', 'sequences']) {
      const findings = await find(pair, name, {}, expect);
      t.deepEqual(failures(findings), [], said(findings));
      t.log(said(findings));
    }
    const plain = await find(pair, 'schema');
    t.regex(said(plain), /- column public\.shops\.plan .*MISSING/);
    t.regex(said(plain), /- table public\.scrape_logs .*MISSING/);
    t.notRegex(said(plain), /- column public\.scrape_logs/);
    t.log(said(plain));
    t.regex(said(await find(pair, 'row-counts')), /table public\.scrape_logs of blue is missing/);
    t.regex(said(await find(pair, 'checksums')), /column public\.shops\.plan of blue is missing/);
  }),
);

test.serial('the losing migration is found', (t) =>
  inPair(0, async (pair) => {
    const file = new URL(
      '../fixtures/shopping-points/losing-migrations/V001__tidy_rates.sql',
      import.meta.url,
    );
    await pair.green.query(await readFile(file, 'utf8'));
    t.regex(
      said(await find(pair, 'row-counts')),
      /shop_program_rates has 846 rows on blue and 844 on green, 2 fewer/,
    );
    t.regex(
      said(await find(pair, 'checksums')),
      /shop_program_rates differs: 846 rows on blue, 844 rows on green/,
    );
  }),
);

test.serial('checksums: values in other rows are told from other values; ignored columns are said', (t) =>
  inPair(0, async (pair) => {
    await pair.green.query(`update common_table set b = case b when 'x' then 'y' else 'x' end`);
    const found = await find(pair, 'checksums');
    t.regex(said(found), /the values of (a, )?b(, id)? are the same but in other rows/);
    const ignoring = await find(pair, 'checksums', { 'ignore-columns': ['common_table.b'] });
    t.deepEqual(failures(ignoring), []);
    t.regex(said(ignoring), /note \| not compared: common_table\.b|public\.common_table\.b \(ignored\)/);
    t.deepEqual(failures(await find(pair, 'checksums', { 'ignore-tables': ['public.common_table'] })), []);
    await pair.green.query('create table only_green (a int)');
    const typo = await find(pair, 'checksums', {
      'ignore-columns': ['common_table.c'],
      'ignore-tables': ['comon_table'],
    });
    t.is(failures(typo).length, 3);
    t.regex(said(typo), /ignore-columns names common_table\.c, which matches nothing/);
    t.regex(said(typo), /perhaps public\.common_table is meant/);
  }),
);

test.serial('checksums: types that differ are compared by text', (t) =>
  inPair(0, async (pair) => {
    await pair.green.query('alter table common_table alter a type bigint');
    t.deepEqual(failures(await find(pair, 'checksums')), []);
    await pair.green.query('alter table common_table alter a type numeric(10,2)');
    t.regex(said(await find(pair, 'checksums')), /public\.common_table differs in a/);
  }),
);

test.serial('checksums: large objects count', (t) =>
  inPair(1, async (pair) => {
    t.regex(said(await find(pair, 'checksums')), /2 large objects/);
    await pair.green.query(`select lo_put(oid, 0, 'changed') from pg_largeobject_metadata limit 1`);
    t.regex(
      said(await find(pair, 'checksums')),
      /failure \| the large objects differ: 2 large objects on blue, 2 on green/,
    );
  }),
);

test.serial('checksums: a partition that lost a row, a child of a parent, a generated column', (t) =>
  inPair(1, async (pair) => {
    await pair.green
      .query(`delete from "Mixed ""Case"" ünï"."Events default" where ctid = (select ctid from "Mixed ""Case"" ünï"."Events default" limit 1);
      update only "Mixed ""Case"" ünï".parent set what = what || '!'`);
    const text = said(await find(pair, 'checksums'));
    t.regex(text, /"Mixed ""Case"" ünï"\."Events" differs: 9 rows on blue, 8 rows on green/);
    t.regex(text, /"Mixed ""Case"" ünï"\.parent differs in what/);
    t.notRegex(text, /child of parent" differs/);
  }),
);

test.serial('schema: whatever goes or changes must be named', (t) =>
  inPair(0, async (pair) => {
    await pair.green.query(`drop table proposal_audit_trails; alter table shops drop column opened_on;
      drop index shops_plan_idx; alter table coupons disable row level security, alter name set default 'x';
      create or replace view current_rates as select r.id, s.name as shop_name, p.name as program_name, r.points_per_eur,
        r.points_per_eur * p.point_value_eur as effective_pct from shop_program_rates r join shops s on s.id = r.shop_id
        join bonus_programs p on p.id = r.program_id;
      revoke insert on users from public; grant select on users to public;
      comment on table shops is 'new'; create table shop_tiers (id int primary key, name text)`);
    const found = await find(pair, 'schema');
    const text = said(found);
    t.log(text);
    for (const line of [
      /- table public\.proposal_audit_trails .*MISSING/,
      /- column public\.shops\.opened_on +date +MISSING/,
      /- index public\.shops\.shops_plan_idx .*MISSING/,
      /~ column public\.coupons\.name .*default 'x'.*CHANGED/,
      /~ view public\.current_rates .*CHANGED/,
      /~ table public\.users .*privileges.*CHANGED/,
      /~ table public\.shops .*comment new.*CHANGED/,
      /\+ table public\.shop_tiers +2 columns/,
    ]) {
      t.regex(text, line);
    }
    const hint = failures(found)[0]!.hint!;
    const list = (name: string): string[] =>
      new RegExp(`${name}: \\[([^\\]]*)\\]`).exec(hint)![1]!.split(', ');
    const pasted = { changed: list('changed'), dropped: list('dropped') };
    const accepted = await find(pair, 'schema', {}, pasted);
    t.deepEqual(failures(accepted), [], said(accepted));
    for (const option of ['changed', 'dropped'] as const) {
      for (const name of pasted[option]) {
        const less = { ...pasted, [option]: pasted[option].filter((other) => other !== name) };
        t.is(failures(await find(pair, 'schema', {}, less)).length, 1, `${name} must be named`);
      }
    }
  }),
);

test.serial('schema: default privileges of no schema can be missing, and be expected to', (t) =>
  inPair(0, async (pair) => {
    await pair.blue.query('alter default privileges grant select on tables to public');
    const [found] = failures(await openCheck('schema').run(await pair.context()));
    t.regex(said([found!]), /postgres\.""\.r/);
    const expected = await openCheck('schema').run(await pair.context({ dropped: ['postgres."".r'] }));
    t.deepEqual(failures(expected), [], said(expected));
  }),
);

test.serial('schema: a dropped column takes its index and constraints along, and nothing else', (t) =>
  inPair(0, async (pair) => {
    await pair.green.query('alter table shops drop column plan');
    t.deepEqual(failures(await find(pair, 'schema', {}, { dropped: ['public.shops.plan'] })), []);
    t.deepEqual(failures(await find(pair, 'schema', {}, { dropped: ['shops.plan'] })), []);
    await pair.green.query('drop index shops_shop_main_id_idx');
    t.regex(
      said(failures(await find(pair, 'schema', {}, { dropped: ['public.shops.plan'] }))),
      /shops_shop_main_id_idx/,
    );
  }),
);

test.serial('schema: names under expect that match nothing come with a suggestion', (t) =>
  inPair(0, async (pair) => {
    const expect = {
      changed: ['public.shops.plam'],
      dropped: ['shop'],
      renamed: { 'public.coupon': 'public.vouchers' },
    };
    const text = said(await find(pair, 'schema', {}, expect));
    t.regex(
      text,
      /expect\.changed names public\.shops\.plam, which blue does not have \| perhaps public\.shops\.plan is meant/,
    );
    t.regex(text, /expect\.dropped names shop,/);
    t.regex(text, /expect\.renamed names public\.coupon,.* public\.coupons/);
    t.regex(
      said(await find(pair, 'schema', {}, { dropped: ['public.coupons'] })),
      /warning \| public\.coupons is expected/,
    );
    t.is(
      failures(await find(pair, 'schema', {}, { renamed: { 'public.coupons': 'public.vouchers' } })).length,
      2,
    );
  }),
);

test.serial('schema: renames reach definitions, constants and views, odd names too', (t) =>
  inPair(1, async (pair) => {
    await pair.green.query(`alter table "select.order"."user" rename column "order" to "Order 2";
      alter table "select.order"."user" rename to "users; all";
      alter table "Mixed ""Case"" ünï"."Events" rename column kind to "the kind";
      alter sequence "select.order"."c.d_id_seq" rename to "new.seq"`);
    const renamed = {
      '"select.order"."user"."order"': '"select.order"."users; all"."Order 2"',
      '"select.order"."user"': '"select.order"."users; all"',
      '"Mixed ""Case"" ünï"."Events".kind': '"the kind"',
      '"select.order"."c.d_id_seq"': '"select.order"."new.seq"',
    };
    for (const name of ['schema', 'row-counts', 'checksums', 'sequences']) {
      // A regclass value says the new name as well: that column differs, and rightly so.
      const options =
        name === 'checksums' ? { 'ignore-columns': ['"Mixed ""Case"" ünï"."All Types 🐘".regclass'] } : {};
      const findings = await find(pair, name, options, { renamed });
      t.deepEqual(failures(findings), [], said(findings));
    }
  }),
);

test.serial('sequences: direction, missing, dropped, renamed with the column', (t) =>
  inPair(1, async (pair) => {
    await pair.green.query(`select nextval('"select.order"."Seq.with ""odd"" options"')`);
    t.deepEqual(failures(await find(pair, 'sequences')), []);
    await pair.blue.query(
      `select nextval('"select.order"."Seq.with ""odd"" options"') from generate_series(1, 20)`,
    );
    t.regex(said(await find(pair, 'sequences')), /Seq\.with.* next on green/);
    await pair.green.query(`drop sequence "sequence"`);
    t.regex(said(await find(pair, 'sequences')), /sequence public\.sequence of blue is missing/);
    t.notRegex(said(await find(pair, 'sequences', {}, { dropped: ['public.sequence'] })), /missing/);
  }),
);

test.serial('sql: every way to expect, both sides, and a query that fails', (t) =>
  inPair(0, async (pair) => {
    const passes = async (options: object): Promise<boolean> =>
      failures(await find(pair, 'sql', options)).length === 0;
    await pair.green.query(`insert into common_table (a, b) values (9007199254740993 % 7, null)`);
    t.true(await passes({ query: 'select count(*) from common_table', equals: 3 }));
    t.true(await passes({ query: 'select count(*) from common_table', equals: '2', on: 'blue' }));
    t.false(await passes({ query: 'select count(*) from common_table', equals: 3, on: 'both' }));
    t.false(await passes({ query: 'select count(*) from common_table', 'same-on-both': true }));
    t.true(
      await passes({ query: 'select a, b from common_table where b is not null', 'same-on-both': true }),
    );
    await pair.green.query(`update common_table set b = b where a = 1`);
    t.true(
      await passes({ query: 'select a, b from common_table where b is not null', 'same-on-both': true }),
    );
    t.false(
      await passes({
        query: 'select b from common_table where b is not null order by ctid',
        'same-on-both': true,
      }),
    );
    t.true(await passes({ query: 'select true', equals: true }));
    t.false(await passes({ query: 'select false', equals: true }));
    t.true(await passes({ query: 'select null', equals: null }));
    t.false(await passes({ query: 'select 0', equals: null }));
    t.false(await passes({ query: 'select null', equals: 0 }));
    t.true(await passes({ query: 'select 9.90', equals: 9.9 }));
    t.false(await passes({ query: 'select 9007199254740993', equals: 9007199254740992 }));
    t.true(
      await passes({
        query: 'select a, b from common_table where b is not null order by a',
        rows: [
          [1, 'x'],
          [2, 'y'],
        ],
      }),
    );
    t.false(
      await passes({
        query: 'select a, b from common_table where b is not null order by a',
        rows: [
          [2, 'y'],
          [1, 'x'],
        ],
      }),
    );
    t.false(await passes({ query: 'select 1 where false', equals: 1 }));
    t.false(await passes({ query: 'select 1, 2', equals: 1 }));
    t.false(await passes({ query: 'delete from common_table', rows: [] }));
    t.regex(
      said(await find(pair, 'sql', { query: 'select no_such', equals: 1 })),
      /fails on green: column "no_such" does not exist/,
    );
    const schema = checks['sql']!.options;
    t.false(schema.safeParse({ query: 'select 1' }).success);
    t.false(schema.safeParse({ query: 'select 1', equals: 1, rows: [] }).success);
    t.true(schema.safeParse({ query: 'select 1', equals: null }).success);
  }),
);

test.serial('command: secrets are blotted out, a timeout ends it, the variable has a name', (t) =>
  inPair(0, async (pair) => {
    const context = await pair.context();
    const password = new URL(context.env['GREEN_URL']!).password;
    const shown = await find(pair, 'command', {
      run: 'echo "$SHOP_DB"; echo "$BLUE_URL."; exit 1',
      variable: 'SHOP_DB',
    });
    t.regex(said(shown), /postgresql:\/\/postgres:\*\*\*@/);
    t.false(said(shown).includes(password));
    const slow = await find(pair, 'command', { run: 'sleep 20', timeout: '200ms' });
    t.regex(said(slow), /was ended after 200 ms/);
    t.is(openCheck('command', { run: 'true' }).when, 'green-open');
  }),
);

test.serial('a check that is told to stop does not wait for the server', (t) =>
  inPair(0, async (pair) => {
    const controller = new AbortController();
    const context = await pair.context({}, controller.signal);
    const started = Date.now();
    setTimeout(() => controller.abort(new Error('enough')), 100);
    await t.throwsAsync(openCheck('sql', { query: 'select pg_sleep(3)', equals: '' }).run(context), {
      message: 'enough',
    });
    t.true(Date.now() - started < 2000);
  }),
);
