import ava, { type ExecutionContext } from 'ava';
import type { Finding } from '../src/core/drivers/check.ts';
import type { Facts } from '../src/core/database/facts.ts';
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { lookAtFacts } from '../src/steps/preflight/conditions.ts';
import type { PreflightInput } from '../src/steps/preflight/condition.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

// Slots, sessions and leftovers are seen by everybody on the server.
const test = ava.serial;

let server: TestServer;
test.before(async () => {
  server = await testServer(undefined, { wal_level: 'logical', max_prepared_transactions: '5' });
});
test.after.always(() => server?.stop());

/** Brings a new database into a state and gives the facts about it. */
async function factsOf(t: ExecutionContext, name: string, role?: string): Promise<Facts> {
  const url = new URL(server.url(name));
  if (role) {
    url.username = role;
    url.password = 'secret-word';
  }
  const database = new Postgres({ url: url.href, run: '20261120-234205-3fa9' });
  t.teardown(() => database.end());
  await database.bindByName('blue', name);
  return database.inspect();
}

const inputFor = (name: string, more: Partial<PreflightInput['names']> = {}): PreflightInput => ({
  names: { blue: name, green: `${name}_green`, previous: `${name}_previous`, ...more },
  renames: true,
  bake: [],
  live: undefined,
  longTransactions: { wait: 10_000, then: 'refuse' },
});

const look = async (t: ExecutionContext, name: string, role?: string): Promise<Finding[]> =>
  lookAtFacts(await factsOf(t, name, role), inputFor(name));

const told = (findings: readonly Finding[]): string[] =>
  findings.map(({ check, severity }) => `${check}: ${severity}`);

test('a plain database has nothing to be found', async (t) => {
  const name = await server.database();
  await server.sql('create table a (id int primary key); insert into a values (1)', name);
  t.deepEqual(await look(t, name), []);
});

interface State {
  readonly title: string;
  readonly sql: string;
  readonly finds: string;
  /** In the finding's message or list. */
  readonly names: string;
  readonly hint?: string;
  readonly undo?: string;
}

const states: readonly State[] = [
  {
    title: 'a prepared transaction',
    sql: `create table a (id int); begin; insert into a values (1); prepare transaction 'half-done'`,
    finds: 'prepared transactions: failure',
    names: 'half-done',
    hint: 'ROLLBACK PREPARED',
    undo: `rollback prepared 'half-done'`,
  },
  {
    title: 'a subscription',
    sql: `create subscription "Sub One" connection 'dbname=nowhere' publication p with (connect = false, slot_name = none)`,
    finds: 'replication: failure',
    names: '"Sub One"',
    hint: 'DROP SUBSCRIPTION',
    undo: 'drop subscription "Sub One"',
  },
  {
    title: 'a logical slot',
    sql: `select pg_create_logical_replication_slot('feed', 'pgoutput')`,
    finds: 'replication: failure',
    names: 'feed',
    hint: 'pg_drop_replication_slot',
    undo: `select pg_drop_replication_slot('feed')`,
  },
  { title: 'a publication', sql: 'create publication news', finds: 'replication: warning', names: 'news' },
  {
    title: 'an unlogged table',
    sql: 'create unlogged table cache (id int)',
    finds: 'unlogged tables: note',
    names: 'public.cache',
  },
  {
    title: 'a materialised view',
    sql: 'create materialized view sums as select 1 as x',
    finds: 'materialised views: note',
    names: 'public.sums',
  },
  {
    title: 'a large object',
    sql: 'select lo_create(0)',
    finds: 'large objects: note',
    names: '1 large object on blue',
  },
  {
    title: 'an event trigger',
    sql: `create function f() returns event_trigger language plpgsql as 'begin end'; create event trigger watch on ddl_command_end execute function f()`,
    finds: 'event triggers: warning',
    names: 'watch',
  },
  {
    title: 'a foreign server',
    sql: 'create foreign data wrapper w; create server "Far Away" foreign data wrapper w',
    finds: 'by name: warning',
    names: '"Far Away"',
  },
  {
    title: 'an invalid index',
    sql: `create table a (id int); create index broken on a (id); update pg_index set indisvalid = false where indexrelid = 'broken'::regclass`,
    finds: 'already invalid: warning',
    names: 'public.broken',
  },
  {
    title: 'a constraint that is not valid',
    sql: 'create table a (id int); alter table a add constraint positive check (id > 0) not valid',
    finds: 'already invalid: warning',
    names: 'positive on public.a',
  },
  {
    title: 'a database that is read-only by default',
    sql: `do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$`,
    finds: 'writable: failure',
    names: 'read-only',
    hint: 'RESET default_transaction_read_only',
  },
];

for (const { title, sql, finds, names, hint, undo } of states) {
  test(`the preflight sees ${title}`, async (t) => {
    const name = await server.database();
    const client = await server.connect(name);
    for (const statement of sql.startsWith('do ') || sql.includes('begin end') ? [sql] : sql.split('; '))
      await client.query(statement);
    await client.end();
    const findings = await look(t, name);
    if (undo) await server.sql(undo, name);
    t.deepEqual(told(findings), [finds]);
    t.true(`${findings[0]!.message}\n${findings[0]!.detail}`.includes(names), JSON.stringify(findings));
    if (hint) t.true(findings[0]!.hint!.includes(hint));
    else t.is(findings[0]!.hint, undefined);
  });
}

test('the preflight sees an extension that works in the background', async (t) => {
  const name = await server.database();
  const facts = await factsOf(t, name);
  const objects = { ...facts.objects, backgroundExtensions: ['pg_cron'] };
  t.deepEqual(told(lookAtFacts({ ...facts, objects }, inputFor(name))), ['by name: warning']);
});

test('the preflight sees a database that is closed, and still answers', async (t) => {
  const name = await server.database();
  await server.sql(`alter database "${name}" allow_connections false`);
  const findings = await look(t, name);
  t.deepEqual(told(findings), ['writable: failure']);
  t.regex(findings[0]!.hint!, /cutover abort/);
});

test('the preflight lists the sessions that would be ended, and which are in a transaction', async (t) => {
  const name = await server.database();
  const [idle, busy] = [await server.connect(name), await server.connect(name)];
  await idle.query(`set application_name = 'web one'; select 1 as idle_query`);
  await busy.query(`begin`);
  await busy.query(`select\n   2 as busy_query`);
  const findings = await look(t, name);
  await Promise.all([idle.end(), busy.end()]);
  t.deepEqual(told(findings), ['sessions: warning']);
  const [{ message, detail }] = findings as [Finding];
  t.regex(message, /2 sessions on .* 1 of them in a transaction \(10\.0 s to finish, then refuse\)/);
  t.regex(detail!, /app=web one user=postgres idle: .*idle_query/);
  t.regex(detail!, /idle in transaction: select 2 as busy_query/);
});

test('the preflight sees too little space, and says so when space cannot be seen', async (t) => {
  const name = await server.database();
  const facts = await factsOf(t, name);
  t.true(facts.server.freeBytes! > 0, 'the server is on this machine: its space is seen');
  const withSpace = (freeBytes: number | undefined) =>
    lookAtFacts({ ...facts, server: { ...facts.server, freeBytes } }, inputFor(name));
  t.deepEqual(told(withSpace(facts.blue.bytes * 2)), []);
  t.deepEqual(told(withSpace(facts.blue.bytes * 2 - 1)), ['disk: failure']);
  t.deepEqual(told(withSpace(undefined)), ['disk: unknown']);
});

test('the preflight sees a standby and a server that is too old', async (t) => {
  const name = await server.database();
  const facts = await factsOf(t, name);
  const on = (more: Partial<Facts['server']>) =>
    told(lookAtFacts({ ...facts, server: { ...facts.server, ...more } }, inputFor(name)));
  t.deepEqual(on({ inRecovery: true }), ['writable: failure']);
  t.deepEqual(on({ major: 13, version: '13.23' }), ['version: failure']);
  t.deepEqual(on({ major: 14 }), []);
});

// names

test('the preflight sees names that are taken, by whom, and what to do', async (t) => {
  const name = await server.database();
  const [green, previous] = [`${name}_green`, `${name}_previous`];
  const findings = async () =>
    (await look(t, name)).map(({ check, severity, message, hint }) => ({ check, severity, message, hint }));
  await server.sql(`create database "${green}"`);
  const [stranger] = await findings();
  t.is(stranger!.severity, 'failure');
  t.regex(stranger!.message, new RegExp(`${green} already, and no run`));
  t.regex(stranger!.hint!, /green: NAME/);

  await server.sql(`comment on database "${green}" is 'cutover run=20260101-000000-aaaa as=copy (x)'`);
  const [copy, ...none] = await findings();
  t.deepEqual(none, [], 'said once, not again among the leftovers');
  t.regex(copy!.message, /the copy of run 20260101-000000-aaaa/);
  t.is(copy!.hint, 'cutover abort 20260101-000000-aaaa');
  await server.sql(`drop database "${green}"`);

  await server.sql(`create database "${previous}"`);
  t.regex((await findings())[0]!.hint!, /previous: NAME/);
  await server.sql(`comment on database "${previous}" is 'cutover run=20260101-000000-bbbb as=previous (x)'`);
  const [kept] = await findings();
  t.regex(kept!.message, /previous copy that run 20260101-000000-bbbb keeps/);
  t.regex(kept!.hint!, /swap-back 20260101-000000-bbbb.*retire 20260101-000000-bbbb/);
  const facts = await factsOf(t, name);
  t.deepEqual(
    lookAtFacts(facts, { ...inputFor(name), renames: false }),
    [],
    'of no concern when nothing is renamed',
  );
  await server.sql(`drop database "${previous}"`);
});

test('the preflight sees what earlier runs left', async (t) => {
  const name = await server.database();
  const [marked, unfinished] = [await server.database('left'), 'cutover_20260101-000000-cccc'];
  await server.sql(`comment on database "${marked}" is 'cutover run=20260101-000000-dddd as=copy (x)'`);
  await server.sql(`create database "${unfinished}"`);
  const findings = await look(t, name);
  await server.sql(`drop database "${marked}"`);
  await server.sql(`drop database "${unfinished}"`);
  t.deepEqual(told(findings), ['leftovers: warning', 'leftovers: warning']);
  t.deepEqual(
    findings.map(({ hint }) => hint),
    ['cutover abort 20260101-000000-cccc', 'cutover abort 20260101-000000-dddd'],
  );
});

test('the preflight counts bytes of a name, not letters', async (t) => {
  const name = await server.database();
  const facts = await factsOf(t, name);
  const green = (text: string) => told(lookAtFacts(facts, inputFor(name, { green: text })));
  t.deepEqual(green('n'.repeat(63)), []);
  t.deepEqual(green('n'.repeat(64)), ['names: failure']);
  t.deepEqual(green('ñ'.repeat(32)), ['names: failure']);
});

test('one name for the copy and for blue afterwards is refused', async (t) => {
  const name = await server.database();
  const findings = lookAtFacts(await factsOf(t, name), inputFor(name, { green: 'same', previous: 'same' }));
  t.deepEqual(told(findings), ['names: failure']);
});

test('the database that the tool itself needs is refused as blue', async (t) => {
  const findings = lookAtFacts(await factsOf(t, 'postgres'), inputFor('postgres'));
  t.true(
    findings.some(({ check, severity }) => check === 'names' && severity === 'failure'),
    JSON.stringify(findings),
  );
});

// rights

test('the preflight sees what a role may not read, and what row-level security would hide', async (t) => {
  const name = await server.database();
  const role = `reader_${name}`;
  const client = await server.connect(name);
  await client.query(`
    create role owner_${name} createrole;
    create role ${role} login password 'secret-word' createdb in role pg_signal_backend, owner_${name};
    alter database "${name}" owner to owner_${name};
    create schema hidden; create table hidden.a (id int);
    create schema shown; grant usage on schema shown to ${role};
    create table shown.a (id int); create sequence shown.s; create materialized view shown.m as select 1 as x;
    create table shown.mine (id int); alter table shown.mine owner to owner_${name}; alter table shown.mine enable row level security;
    create table shown.rows (id int); alter table shown.rows enable row level security; grant select on shown.rows to ${role}`);
  await client.end();
  const findings = (await look(t, name, role)).filter(({ severity }) => severity === 'failure');
  t.deepEqual(told(findings), ['rights: failure', 'rights: failure']);
  t.deepEqual(
    findings.map(({ hint }) => hint),
    [`GRANT pg_read_all_data TO "${role}"`, `ALTER ROLE "${role}" BYPASSRLS`],
  );
  const lines = findings.map(({ detail }) => detail!.split('\n').map((line) => line.trim()));
  t.deepEqual(lines[0], ['hidden.a', 'shown.a', 'shown.m', 'shown.s', 'schema hidden']);
  t.deepEqual(lines[1], ['shown.rows'], 'an owner sees all rows of its own table');
  await server.sql(`grant pg_read_all_data to ${role}; alter role ${role} bypassrls`);
  t.deepEqual(
    (await look(t, name, role)).filter(({ severity }) => severity === 'failure'),
    [],
  );
});

test('row-level security that is forced upon the owner is seen', async (t) => {
  const name = await server.database();
  const role = `forced_${name}`;
  const client = await server.connect(name);
  await client.query(`
    create role ${role} login password 'secret-word' createdb in role pg_signal_backend;
    alter database "${name}" owner to ${role};
    create table a (id int); alter table a owner to ${role}; alter table a enable row level security, force row level security`);
  await client.end();
  const findings = (await look(t, name, role)).filter(({ severity }) => severity === 'failure');
  t.deepEqual(
    findings.map(({ detail }) => detail),
    ['  public.a'],
  );
});

test('the preflight sees settings of other roles that a role may not carry over', async (t) => {
  const name = await server.database();
  const role = `carrier_${name}`;
  await server.sql(`
    create role ${role} login password 'secret-word' createdb in role pg_signal_backend;
    alter database "${name}" owner to ${role};
    alter role ${role} in database "${name}" set work_mem = '5MB'`);
  const failures = async () => (await look(t, name, role)).filter(({ severity }) => severity === 'failure');
  t.deepEqual(await failures(), [], 'its own are no matter');
  await server.sql(
    `create role app_${name}; alter role app_${name} in database "${name}" set work_mem = '6MB'`,
  );
  const [finding, ...more] = await failures();
  t.deepEqual(more, []);
  t.is(finding!.detail, `  app_${name}: work_mem`);
  t.regex(finding!.hint!, /CREATEROLE/);
});

test('the preflight sees superusers whom a plain role cannot disconnect, and settings that it cannot carry over', async (t) => {
  const name = await server.database();
  const role = `plain_${name}`;
  await server.sql(`
    create role ${role} login password 'secret-word' createdb in role pg_signal_backend;
    alter database "${name}" owner to ${role};
    alter database "${name}" set log_min_duration_statement = 250`);
  const visitor = await server.connect(name);
  const failures = (await look(t, name, role)).filter(({ severity }) => severity === 'failure');
  await visitor.end();
  t.deepEqual(
    failures.map(({ detail }) => detail?.replace(/\d+/, 'N')),
    ['  pid N user=postgres', '  log_min_duration_statement'],
  );
});
