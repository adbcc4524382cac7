import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import ava from 'ava';
import { workplace, type Workplace } from './helpers/cli.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { assertKept, CLOSED, LIVE, verdictOf, type Verdict } from './helpers/rehearsal.ts';

// One after the other: clients write all the time, and the machine is small.
const test = ava.serial;

const SCHEMA = `create schema "Ünï";
create type status as enum ('new', 'paid');
create table "Ünï"."order" (id bigint generated always as identity primary key, state status not null, price int not null,
  legacy text, "Note" text);
insert into "Ünï"."order" (state, price, legacy, "Note")
  select (array['new', 'paid'])[1 + i % 2]::status, i % 5, 'old', 'n' || i % 3 from generate_series(1, 200) i;
create table lines (order_id bigint references "Ünï"."order", line int, amount int, primary key (order_id, line));
insert into lines select i, 1, i % 4 from generate_series(1, 200) i;
create table log (at timestamptz default now(), what text);
`;

async function place(work: Workplace, migration: string, lines: string, more = ''): Promise<string[]> {
  await work.file('schema.sql', SCHEMA + more);
  await work.file('fixture.yml', 'database: shop\nload: [schema.sql]\n');
  await mkdir(join(work.folder, 'migrations'));
  await work.file('migrations/V001__change.sql', migration);
  await work.file(
    'playbook.yml',
    `version: 1
name: derived
blue: \${DATABASE_URL}
migrate: [sql: { directory: migrations }]
gate: open
${lines}`,
  );
  return ['rehearse', 'playbook.yml', '--fixture', '.', '--seed', '5', '--json'];
}

const messages = ({ findings }: Verdict, check: string): string[] =>
  findings.filter((one) => one.check === check).map(({ message }) => message);

/** Every kind was made. */
const ALL =
  /^statements derived from the schema for 2 tables: [1-9][\d,]* reads, [1-9]\d* updates, [1-9]\d* inserts, [1-9]\d* deletes$/;

test('a column that is renamed and one that must not be NULL: no client sees an error, and it is told', async (t) => {
  const work = await workplace(t);
  const words = await place(
    work,
    `alter table "Ünï"."order" rename price to cents;
alter table "Ünï"."order" add place text;
update "Ünï"."order" set place = 'here';
alter table "Ünï"."order" alter place set not null;
`,
    `verify: [row-counts, checksums]
expect: { renamed: { '"Ünï".order.price': '"Ünï".order.cents' } }
switch: { targets: [database-rename] }
`,
  );
  const verdict = assertKept(t, await work.cutover(words), CLOSED);
  t.regex(messages(verdict, 'clients')[0]!, /only while blue was closed$/);
  const [anew, done] = messages(verdict, 'application');
  t.is(
    anew,
    'statements derived anew after the switch: "Ünï".order (column price is gone, column cents is new, column place is new)',
  );
  t.regex(done!, ALL);
  t.true(verdict.without.includes('derived statements: no primary key (public.log)'));
});

(NEEDS_PGBOUNCER ? ava.skip : test)(
  `while green follows, and blue on the way back: no error at all, and rows that nobody wrote are found${NEEDS_PGBOUNCER}`,
  async (t) => {
    const work = await workplace(t);
    const words = await place(
      work,
      `alter table "Ünï"."order" drop legacy;
alter table lines alter amount type bigint;
`,
      `sync: { method: logical, without-identity: full }
verify: [checksums, sequences]
expect: { dropped: ['"Ünï".order.legacy'], changed: [public.lines.amount] }
switch: { targets: [pgbouncer: { admin: "\${PGBOUNCER_ADMIN_URL}", database: shop, file: /etc/pgbouncer/databases.ini }] }
`,
    );
    const verdict = assertKept(t, await work.cutover([...words, '--faults', 'tamper']), LIVE);
    t.is(verdict.clients.errors, 0);
    const [anew, done] = messages(verdict, 'application');
    t.regex(anew!, /^statements derived anew after the switch: "Ünï"\.order \(column legacy is gone\)/);
    t.regex(done!, ALL);
    t.regex(messages(verdict, 'tamper')[0]!, /^the verification saw it, and everything was put back/);
  },
);

test('an error where the table is as it was is one of the clients, and the verdict says of which statement', async (t) => {
  const work = await workplace(t);
  const words = await place(
    work,
    'select 1;\n',
    'verify: [row-counts]\nswitch: { targets: [database-rename] }\n',
    `create function no() returns trigger language plpgsql as $$ begin raise exception 'not today' using errcode = '23514'; end $$;
create trigger no before update on lines for each row execute function no();
`,
  );
  const outcome = await work.cutover(words);
  t.is(outcome.code, 5, outcome.err);
  const verdict = verdictOf(outcome);
  const failed = verdict.findings.filter(({ severity }) => severity === 'failure');
  t.deepEqual(
    failed.map(({ check, detail }) => [check, detail]),
    [['clients', 'updates of public.lines: not today']],
  );
  t.is(messages(verdict, 'application').length, 1);
});
