import test from 'ava';
import type { Expectations } from '../src/core/playbook.ts';
import { failures, withPair, openCheck, said, type Pair } from './helpers/check-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

let server: TestServer;
let template: string;
test.before(async () => {
  server = await testServer(18, { shared_preload_libraries: 'pg_stat_statements' });
  template = await server.database('plans');
  await server.sql(
    `create schema "S s"; create table "S s"."Big ""one""" (id int primary key, customer int, note text);
     insert into "S s"."Big ""one""" select i, i % 5000, 'note' from generate_series(1, 20000) i;
     create index by_customer on "S s"."Big ""one""" (customer); create table small (id int primary key, name text);
     insert into small select i, 'x' from generate_series(1, 50) i`,
    template,
  );
  await server.sql('vacuum analyze', template);
});
test.after.always(() => server?.stop());

const inPair = (work: (pair: Pair) => Promise<void>) => withPair(server, template, work);

const BY_CUSTOMER = `select * from "S s"."Big ""one""" where customer = 7`;
const find = async (pair: Pair, options: unknown, expect: Partial<Expectations> = {}) =>
  openCheck('plans', options).run(await pair.context(expect));

test.serial('a lost index, a statement that no longer works, and what did not change', (t) =>
  inPair(async (pair) => {
    const queries = [
      BY_CUSTOMER,
      'select name from small where id = 3',
      'update small set name = null where id = 1',
    ];
    const same = await find(pair, { queries, heaviest: 0 });
    t.deepEqual(failures(same), []);
    t.regex(said(same), /^ok \| 3 statements can be planned on both sides/);
    await pair.green.query('drop index "S s".by_customer; alter table small rename name to title');
    const text = said(await find(pair, { queries, heaviest: 0 }));
    t.regex(text, /warning \| "S s"\."Big ""one""" is read whole on green; on blue it uses by_customer \|/);
    t.regex(
      text,
      /failure \| a statement that works on blue does not on green: column "name" does not exist/,
    );
    t.is(failures(await find(pair, { queries, heaviest: 0 })).length, 2);
    // Executed was none of them.
    t.is((await pair.blue.query('select count(*) as n from small where name is null')).rows[0].n, '0');
    // A small table is read whole without a word.
    t.regex(
      said(await find(pair, { queries: [BY_CUSTOMER], heaviest: 0, rows: 100_000, times: 100_000 })),
      /^ok /,
    );
    t.regex(
      said(await find(pair, { queries: [BY_CUSTOMER], heaviest: 0, rows: 100_000 })),
      /warning \| a plan became \d+ times as costly on green/,
    );
  }),
);

test.serial('a statement that is wrong on both sides, and several in one, are not passed over', (t) =>
  inPair(async (pair) => {
    t.regex(
      said(await find(pair, { queries: ['select nothing from small'], heaviest: 0 })),
      /^unknown \| a statement cannot be planned on blue: column "nothing"/,
    );
    t.regex(
      said(await find(pair, { queries: ['select 1; drop table small'], heaviest: 0 })),
      /^unknown .*multiple commands/,
    );
  }),
);

test.serial('the heaviest statements of blue, with any value', (t) =>
  inPair(async (pair) => {
    t.regex(said(await find(pair, {})), /note \| blue's heaviest statements are not known/);
    await pair.blue.query('create schema ext; create extension pg_stat_statements schema ext');
    await pair.blue.query(BY_CUSTOMER);
    await pair.blue.query({ text: 'select name from small where id = $1', values: [1] });
    await pair.green.query('drop index "S s".by_customer; alter table small drop name');
    const text = said(await find(pair, { heaviest: 500 }));
    t.regex(text, /"Big ""one""" is read whole on green; on blue it uses by_customer .*customer = \$1/);
    t.regex(
      text,
      /failure \| a statement that works on blue does not on green: column "name" does not exist/,
    );
  }),
);
