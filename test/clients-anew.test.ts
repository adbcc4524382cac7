import ava, { type ExecutionContext } from 'ava';
import type { Client } from 'pg';
import { Application } from '../src/rehearse/clients/derived/application.ts';
import { KINDS } from '../src/rehearse/clients/derived/derive.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

const test = ava.serial;

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server.stop());

interface Scene {
  readonly client: Client;
  readonly application: Application;
  readonly sql: (text: string) => Promise<unknown[]>;
  /** Everything there is, several times. */
  readonly work: (client?: number) => Promise<void>;
  readonly anew: () => string | undefined;
}

const TABLES = `create table orders (id serial primary key, price int, note text not null);
insert into orders (price, note) select i % 2, 'n' || i % 3 from generate_series(1, 9) i;
create table log (what text); create table lines (id serial primary key, note text); insert into lines (note) values ('a'), ('a');`;

async function scene(t: ExecutionContext, more = ''): Promise<Scene> {
  const database = await server.database('anew');
  await server.sql(`${TABLES}${more}; analyze`, database);
  const client = await server.connect(database);
  t.teardown(() => client.end());
  const application = await Application.derive(client, 1);
  const kinds = KINDS.map((kind) => application.transaction(kind)!);
  return {
    client,
    application,
    sql: (text) => server.sql(text, database),
    async work(own = 0) {
      for (let round = 0; round < 6; round += 1) for (const make of kinds) await make(client, own);
    },
    anew: () => application.anew()[0]?.message,
  };
}

const GONE = 'a table that is gone';
const ANEW = 'statements derived anew after the switch: public.orders';

const changes: Record<string, [sql: string, says: string, back: string]> = {
  'a column that is renamed, and one that must not be NULL': [
    `alter table orders rename price to amount; alter table orders add place text;
     update orders set place = 'x'; alter table orders alter place set not null`,
    '(column price is gone, column amount is new, column place is new)',
    'alter table orders drop place; alter table orders rename amount to price',
  ],
  'a key of another type': [
    `alter table orders alter id drop default, alter id type text using 'k' || id`,
    '(column id is text; no inserts, deletes any more)',
    `alter table orders alter id type int using substr(id, 2)::int, alter id set default nextval('orders_id_seq')`,
  ],
  'a key that is another column': [
    `alter table orders drop constraint orders_pkey; alter table orders rename id to number;
     alter table orders add id uuid primary key default gen_random_uuid()`,
    '(column number is new, column id is uuid)',
    'alter table orders drop id; alter table orders rename number to id; alter table orders add primary key (id)',
  ],
  [GONE]: [
    'alter table orders rename to purchases',
    '(the table is gone)',
    'alter table purchases rename to orders',
  ],
};

for (const [name, [sql, says, back]] of Object.entries(changes))
  test(`${name}: derived anew, there and back`, async (t) => {
    const { work, anew, sql: run, application } = await scene(t);
    await work();
    t.is(anew(), undefined);
    await run(`${sql}; alter table log add id serial primary key`);
    await work();
    const told = `${ANEW} ${says}`;
    t.is(anew(), told);
    await run(back);
    await work();
    t.is(anew(), told);
    const times = name === GONE ? 15 : 18;
    t.true(
      application
        .done()
        .message.startsWith(
          `statements derived from the schema for 2 tables: ${times} reads, ${times} updates, `,
        ),
    );
  });

test('rows of the application stay, whatever is deleted, and what was set stays valid on the way back', async (t) => {
  const { work, sql } = await scene(
    t,
    'update orders set price = (id + 1) / 2; alter table orders add constraint sure check (price <= id); create unique index once on orders (price, note)',
  );
  const rows = `select 'order', id from orders where id <= 9 union select 'line', id from lines where id <= 2 order by 1, 2`;
  const before = await sql(rows);
  t.is(before.length, 11);
  await work();
  // What was bound at first stays so, where it is free now: rows go back to where it is not.
  await sql(
    'alter table orders drop constraint sure; drop index once; alter table orders rename note to remark',
  );
  await work();
  await sql(
    'alter table orders add constraint sure check (price <= id); create unique index once on orders (price, remark)',
  );
  t.deepEqual(await sql(rows), before);
});

const errors: Record<string, [more: string, says: RegExp]> = {
  'a trigger that says what a constraint would': [
    `create function no() returns trigger language plpgsql as $$ begin raise exception 'not today' using errcode = '23514'; end $$;
     create trigger no before update on lines for each row execute function no()`,
    /^updates of public\.lines: not today$/,
  ],
  'a trigger that asks for what is not there': [
    `create function no() returns trigger language plpgsql as $$ begin new.note := new.nothing; return new; end $$;
     create trigger no before update on lines for each row execute function no()`,
    /^updates of public\.lines: record "new" has no field "nothing"$/,
  ],
};
for (const [name, [more, says]] of Object.entries(errors))
  test(`where the table is as it was, an error is one: ${name}`, async (t) => {
    const { work, anew } = await scene(t, more);
    await t.throwsAsync(work(), { message: says });
    t.is(anew(), undefined);
  });

test('an error of what was derived anew is one, and a number that is given twice too', async (t) => {
  const { work, sql } = await scene(t);
  await sql(`alter table orders rename price to amount; create function no() returns trigger language plpgsql as
    $$ begin raise exception 'still not' using errcode = '42704'; end $$;
    create trigger no before insert on orders for each row execute function no()`);
  await t.throwsAsync(work(), { message: /^(?:inserts|deletes) of public\.orders: still not$/ });
  await sql(`drop trigger no on orders; select setval('orders_id_seq', 1, false)`);
  await t.throwsAsync(work(), { message: /public\.orders: duplicate key/ });
});
