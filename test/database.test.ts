import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { Client, type QueryResultRow } from 'pg';
import type { ClonePlan } from '../src/core/clone.ts';
import type { WorkControl } from '../src/core/work.ts';
import type { Facts } from '../src/core/facts.ts';
import { RefusedError, StepError } from '../src/core/errors.ts';
import type { LongTransactions } from '../src/core/playbook.ts';
import type { Side } from '../src/core/side.ts';
import { embeddedBinaries, serverAccount } from '../src/databases/postgres/embedded/binaries.ts';
import { startCluster } from '../src/databases/postgres/embedded/cluster.ts';
import { addressOf } from '../src/databases/postgres/address.ts';
import { RunLock } from '../src/databases/postgres/lock.ts';
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { lookAtFacts } from '../src/steps/preflight/conditions.ts';
import { quoteIdentifier } from '../src/util/sql.ts';
import { withDatabase } from '../src/util/url.ts';
import { DEFAULT_MAJOR, majors, testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

// One after the other: each of them measures what the server does with others, and the machine is small.
const test = ava.serial;

const settings = { max_prepared_transactions: '10', wal_level: 'logical' };
let server: TestServer;
test.before(async () => {
  server = await testServer(DEFAULT_MAJOR, settings);
});
test.after.always(() => server?.stop());

const control: WorkControl = { signal: new AbortController().signal, progress: () => undefined };
const end: LongTransactions = { wait: 0, then: 'end' };
const unique = (prefix: string): string => `${prefix}_${randomBytes(4).toString('hex')}`;
const newRun = (): string => unique('20261120-234205').replace('_', '-');

/** A connection to a database of any name, which a connection string can garble. */
async function connectTo(
  on: TestServer,
  database: string,
  login: { user?: string; password?: string } = {},
): Promise<Client> {
  const url = new URL(on.url());
  const client = new Client({
    host: url.hostname,
    port: Number(url.port),
    user: login.user ?? url.username,
    password: login.password ?? url.password,
    database,
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

interface Subject {
  readonly name: string;
  readonly run: string;
  readonly database: Postgres;
}

/** A database with a table and the tool looking at it as blue. */
async function subject(
  t: ExecutionContext,
  { on = server, name = '', sql = 'create table notes (id int primary key, body text)', url = '' } = {},
): Promise<Subject> {
  const blue = name || (await on.database());
  if (name) await on.sql(`create database ${quoteIdentifier(name)}`);
  const client = await connectTo(on, blue);
  await client.query(sql);
  await client.end();
  const run = newRun();
  const database = new Postgres({ url: withDatabase(url || on.url(), blue), run });
  await database.bindByName('blue', blue);
  t.teardown(() => database.end());
  return { name: blue, run, database };
}

/** Everybody who is connected to a database, but the tool itself. */
const others = (name: string, on = server) =>
  on.sql<{ pid: number }>(
    `select pid from pg_stat_activity where datname = '${name}' and backend_type = 'client backend'
     and application_name not like 'cutover %'`,
  );

/** Everything of a database that clients can notice of its entry in the server's list. */
const outside = async (name: string, on = server): Promise<Record<string, unknown>> => {
  const admin = await on.connect();
  const { rows } = await admin.query<Record<string, unknown>>(
    `select pg_get_userbyid(datdba) as owner, datconnlimit, datallowconn, pg_encoding_to_char(encoding) as encoding,
            datcollate, datctype, datlocprovider,
            array(select format('%s %s %s %s', coalesce(g.rolname, 'PUBLIC'), b.rolname, privilege_type, is_grantable)
                  from aclexplode(datacl) a left join pg_roles g on g.oid = a.grantee
                  join pg_roles b on b.oid = a.grantor order by 1) as acl,
            datacl is null as default_acl,
            array(select format('%s: %s', case setrole when 0 then 'all' else setrole::regrole::text end, setting)
                  from pg_db_role_setting, unnest(setconfig) setting where setdatabase = d.oid order by 1) as settings
     from pg_database d where datname = $1`,
    [name],
  );
  await admin.end();
  return rows[0]!;
};

async function closeAndPlan({ database }: Subject, green: string): Promise<ClonePlan> {
  const facts = await database.inspect();
  await database.close('blue', end, control);
  return database.planClone(facts, green, { method: 'template', strategy: 'auto', pause: 5000 }).plan;
}

// close and open

test('closing ends idle, active, idle-in-transaction and long-running sessions, and only the reader goes on', async (t) => {
  const { name, database } = await subject(t);
  const reader = await database.reader('blue');
  const [idle, open, busy] = await Promise.all([1, 2, 3].map(() => server.connect(name)));
  await open!.query(`begin; insert into notes values (1, 'lost')`);
  const running = busy!.query('select pg_sleep(60)').catch((error: { code: string }) => error.code);
  await sleep(50);
  const started = Date.now();
  await database.close('blue', { wait: 200, then: 'end' }, control);
  t.true(Date.now() - started >= 200);
  t.deepEqual(await others(name), []);
  t.is(await running, '57P01');
  await t.throwsAsync(idle!.query('select 1'));
  const refused = await t.throwsAsync<Error & { code: string }>(server.connect(name));
  t.is(refused.code, '55000', 'a superuser does not get in either');
  t.is(await reader.countRows(['public', 'notes']), 0n);

  await database.close('blue', end, control);
  t.is(await reader.countRows(['public', 'notes']), 0n, 'and still reads after it was closed again');
  t.true((await database.state('blue'))!.closed);
  await database.open('blue');
  await database.open('blue');
  await server.sql(`insert into notes values (1, 'after')`, name);
});

test('a transaction that ends in time is not harmed', async (t) => {
  const { name, database } = await subject(t);
  const client = await server.connect(name);
  await client.query(`begin; insert into notes values (1, 'kept')`);
  const closing = database.close('blue', { wait: 10_000, then: 'refuse' }, control);
  await sleep(300);
  await client.query('commit');
  await closing;
  t.is(await (await database.reader('blue')).countRows(['public', 'notes']), 1n);
});

test('refusing names the session and what it does; opening puts everything back', async (t) => {
  const { name, database } = await subject(t);
  const client = await server.connect(name);
  await client.query('begin');
  await client.query(`insert into notes values (1, 'mine')`);
  const [pid] = await others(name);
  const error = await t.throwsAsync(database.close('blue', { wait: 100, then: 'refuse' }, control), {
    instanceOf: StepError,
  });
  t.true(error.detail!.includes(`pid ${pid!.pid} `), error.detail);
  t.true(error.detail!.includes('insert into notes'), error.detail);
  await database.open('blue');
  await client.query('commit');
  t.is((await server.sql('select * from notes', name)).length, 1);
});

test('clients that reconnect without pause never get in after the database is closed', async (t) => {
  const { name, database } = await subject(t, { sql: 'create table beats (at timestamptz, who int)' });
  const stop = new AbortController();
  const beats = { written: 0 };
  const clients = Array.from({ length: 8 }, async (_, who) => {
    while (!stop.signal.aborted) {
      const client = await connectTo(server, name).catch(() => undefined);
      try {
        while (!stop.signal.aborted) {
          await client!.query('insert into beats values (clock_timestamp(), $1)', [who]);
          beats.written += 1;
          if (beats.written % 3 === 0) break;
        }
      } catch {
        // It was ended; it comes back at once.
      } finally {
        await client?.end().catch(() => undefined);
      }
    }
  });
  await until('them to write', () => beats.written > 0);
  for (let round = 0; round < 3; round += 1) {
    await database.close('blue', end, control);
    const reader = await database.reader('blue');
    t.deepEqual(await others(name), []);
    const before = await reader.countRows(['public', 'beats']);
    for (const until = Date.now() + 400; Date.now() < until;) {
      t.deepEqual(await others(name), []);
      await sleep(5);
    }
    t.is(await reader.countRows(['public', 'beats']), before);
    await database.open('blue');
    const later = beats.written;
    for (const until = Date.now() + 10_000; beats.written === later && Date.now() < until;) await sleep(20);
    t.true(beats.written > later, 'and write again when it is opened');
  }
  stop.abort();
  await Promise.all(clients);
});

test('a client that is half way in when the door closes does not get in', async (t) => {
  const { name, database } = await subject(t);
  const client = new Client({ connectionString: server.url(name), options: '-c post_auth_delay=1' });
  client.on('error', () => undefined);
  const entering = client.connect().then(() => client.query(`insert into notes values (1, 'late')`));
  const outcome = entering.then(
    () => 1n,
    () => 0n,
  );
  await sleep(300);
  await database.close('blue', end, control);
  const reader = await database.reader('blue');
  t.deepEqual(await others(name), []);
  const rows = await reader.countRows(['public', 'notes']);
  await sleep(1500);
  t.deepEqual(await others(name), []);
  t.is(await reader.countRows(['public', 'notes']), rows, 'nothing was written after it was closed');
  t.is(await outcome, rows, 'and what was acknowledged before is there');
  await t.throwsAsync(client.query('select 1'));
});

test('a prepared transaction is refused by name, and the database can be opened again', async (t) => {
  const { name, database } = await subject(t);
  const gid = unique("it's");
  await server.sql(
    `begin; insert into notes values (1, 'x'); prepare transaction '${gid.replace("'", "''")}'`,
    name,
  );
  const error = await t.throwsAsync(database.close('blue', end, control), { instanceOf: StepError });
  t.true(error.message.includes(gid));
  t.true(error.hint!.includes(`ROLLBACK PREPARED '${gid.replace("'", "''")}'`));
  await database.open('blue');
  await server.sql(`commit prepared '${gid.replace("'", "''")}'`, name);
  await database.close('blue', end, control);
});

test('an abort stops the waiting', async (t) => {
  const { name, database } = await subject(t);
  const client = await server.connect(name);
  await client.query('begin');
  await client.query('select 1');
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error('enough')), 150);
  await t.throwsAsync(
    database.close('blue', { wait: 60_000, then: 'end' }, { ...control, signal: abort.signal }),
    { message: 'enough' },
  );
  await database.open('blue');
  await client.query('commit');
});

test('a session that holds a lock on the database itself does not keep it from being closed', async (t) => {
  const { name, database } = await subject(t);
  const client = await server.connect(name);
  await client.query('begin');
  await client.query(`comment on database "${name}" is 'hm'`);
  await Promise.race([
    database.close('blue', { wait: 100, then: 'end' }, control),
    sleep(15_000, undefined, { ref: false }).then(() => t.fail('it hangs')),
  ]);
  t.deepEqual(await others(name), []);
});

test('an abort is heard while somebody outside holds a lock on the database', async (t) => {
  const { name, database } = await subject(t);
  const outsider = await server.connect();
  await outsider.query('begin');
  await outsider.query(`comment on database "${name}" is 'hm'`);
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error('enough')), 200);
  await Promise.race([
    t.throwsAsync(database.close('blue', end, { ...control, signal: abort.signal }), { message: 'enough' }),
    sleep(15_000, undefined, { ref: false }).then(() => t.fail('it hangs')),
  ]);
  await outsider.query('rollback');
  await database.open('blue');
});

// clone and drop

/** Roles are the server's: each test has its own. */
async function roles(...names: string[]): Promise<string[]> {
  const made = names.map((name) => unique(name));
  for (const name of made) await server.sql(`create role ${quoteIdentifier(name)}`);
  return made;
}

// A list that came unquoted is stored quoted afterwards; what the server makes of it is the same.
const normal = (entry: Record<string, unknown>) => ({
  ...entry,
  datallowconn: true,
  settings: (entry['settings'] as string[]).map((line) => line.replace('Foo, "Bar",baz', 'foo, "Bar", baz')),
});

test('a clone has all that blue has outside: owner, privileges with their grantors, limit, settings', async (t) => {
  const blue = await subject(t);
  const { name, database, run } = blue;
  const [owner, z, y, x, q] = await roles('own "er"', 'zz', 'yy', 'xx', "q'q");
  const as = quoteIdentifier;
  await server.sql(`alter database "${name}" owner to ${as(owner!)}`);
  await server.sql(`revoke all on database "${name}" from public`);
  // A chain of grants in the reverse of alphabetical order: each rests on the one before.
  await server.sql(`grant connect on database "${name}" to ${as(z!)} with grant option`);
  await server.sql(`set role ${as(z!)}; grant connect on database "${name}" to ${as(y!)} with grant option`);
  await server.sql(`set role ${as(y!)}; grant connect on database "${name}" to ${as(x!)} with grant option`);
  await server.sql(`set role ${as(x!)}; grant connect on database "${name}" to ${as(q!)}, public`);
  await server.sql(`grant create, temporary on database "${name}" to ${as(q!)}`);
  await server.sql(`alter database "${name}" connection limit 7`);
  await server.sql(
    `alter database "${name}" set search_path = "$user", "Odd, ""Schema", public, 'it''s', "back\\slash"`,
  );
  await server.sql(`alter database "${name}" set my.setting = 'a=b, "c" ''d'' \\e'`);
  await server.sql(`alter database "${name}" set datestyle = 'German, DMY'`);
  await server.sql(`alter role ${as(q!)} in database "${name}" set search_path = ''`);
  await server.sql(`alter role ${as(x!)} in database "${name}" set work_mem = '5MB'`);
  await server.sql(
    `set search_path to Foo, "Bar"; select set_config('search_path', 'Foo, "Bar",baz', false);
     alter role ${as(y!)} in database "${name}" set search_path from current`,
  );
  const expected = await outside(name);
  t.true((expected['settings'] as string[]).length === 6, 'the settings are there');

  const green = unique('green');
  const plan = await closeAndPlan(blue, green);
  const { oid } = await database.clone(plan, control);
  const copy = await outside(green);
  t.deepEqual(normal(copy), normal(expected));
  const state = await database.state('green');
  t.deepEqual(state, {
    name: green,
    oid,
    closed: false,
    mark: { run, as: 'copy' },
    version: state!.version,
  });
  t.true(await database.drop('green', 'copy'));
});

test('a clone of a database without privileges of its own has none either; one without any has none', async (t) => {
  for (const sql of ['', 'revoke all on database $ from public; revoke all on database $ from postgres']) {
    const blue = await subject(t);
    if (sql) await server.sql(sql.replaceAll('$', `"${blue.name}"`));
    const green = unique('green');
    await blue.database.clone(await closeAndPlan(blue, green), control);
    const [one, two] = [await outside(blue.name), await outside(green)];
    t.deepEqual({ ...two, datallowconn: false }, one);
  }
});

for (const odd of ['Odd "Shop" ñ', `a&b/c?d#e+f@g%20:h;i$j,k=`, 'ünïcode-'.padEnd(60, 'x'), "quo'te\\back"]) {
  test(`a database called ${odd} goes all the way`, async (t) => {
    const name = `${odd.slice(0, 50)}${randomBytes(2).toString('hex')}`;
    const blue = await subject(t, { name });
    const { database } = blue;
    const green = `${name.slice(0, 40)}_g`;
    await database.clone(await closeAndPlan(blue, green), control);
    await database.close('green', end, control);
    await database.releaseReaders();
    await database.rename([
      { side: 'blue', from: name, to: `${green}p` },
      { side: 'green', from: green, to: name },
    ]);
    await t.throwsAsync(database.open('green'), { message: /carries the mark of run/ });
    await database.mark('green', undefined, undefined);
    await database.open('green');
    t.is((await database.state('green'))!.name, name);
    t.is((await database.state('blue'))!.name, `${green}p`);
    const target = await database.migrationTarget('green');
    const session = await target.session();
    t.deepEqual(await session.query('select current_database() as name'), [{ name }]);
    await session.end();
    const reader = await database.reader('green');
    t.is(await reader.countRows(['public', 'notes']), 0n);
  });
}

test('names of 63 bytes fit, and longer ones are found before anything moves', async (t) => {
  const name = unique('n'.repeat(54));
  t.is(name.length, 63);
  const blue = await subject(t, { name });
  const facts = await blue.database.inspect();
  const found = lookAtFacts(facts, {
    names: { blue: name, green: `${name}_green`, previous: `${name}_previous` },
    bake: [],
    renames: true,
    live: undefined,
    longTransactions: end,
  });
  t.deepEqual(
    found.filter(({ check }) => check === 'names').map(({ message }) => /has \d+ bytes/.exec(message)?.[0]),
    ['has 69 bytes', 'has 72 bytes'],
  );
  const green = `g${name.slice(1)}`;
  await blue.database.clone(await closeAndPlan(blue, green), control);
  t.is((await blue.database.state('green'))!.name, green);
});

test('a clone that fails in the middle leaves nothing after its undo, and does not touch who has the name', async (t) => {
  const blue = await subject(t);
  const { database, run } = blue;
  const green = unique('green');
  const plan = await closeAndPlan(blue, green);
  await server.sql(`create database "${green}"`);
  const error = await t.throwsAsync(database.clone(plan, control), { instanceOf: StepError });
  t.true(error.message.includes(green));
  t.true(await database.has(plan.interim), 'the unfinished copy is there');
  const [writable] = await (await database.reader('blue')).query('show default_transaction_read_only');
  t.deepEqual(writable, { default_transaction_read_only: 'on' }, 'the reader is read-only again');
  const again = new Postgres({ url: server.url(blue.name), run });
  await again.bindByName('blue', blue.name);
  t.true(await again.drop('green', 'copy'), 'another process finds it by its name');
  t.false(await again.drop('green', 'copy'));
  await again.end();
  t.false(await database.has(plan.interim));
  t.true(await database.has(green));

  const carry = ['select 1/0'];
  const other = unique('green');
  await t.throwsAsync(database.clone({ ...plan, name: other, carry }, control));
  t.true(await database.has(other));
  t.true(await database.drop('green', 'copy'), 'found by its mark');
  t.false(await database.has(other));
});

test('an abort in the middle of a clone is heard and leaves nothing after its undo', async (t) => {
  const blue = await subject(t, {
    sql: `create table big as select g, repeat(md5(g::text), 30) as t from generate_series(1, 60000) g`,
  });
  const plan = await closeAndPlan(blue, unique('green'));
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error('enough')), 30);
  await t.throwsAsync(blue.database.clone(plan, { ...control, signal: abort.signal }), { message: 'enough' });
  await blue.database.drop('green', 'copy');
  t.deepEqual(
    await server.sql(`select 1 from pg_database where datname in ('${plan.name}', '${plan.interim}')`),
    [],
  );
  t.is(await (await blue.database.reader('blue')).countRows(['public', 'big']), 60_000n);
});

test("nothing without this run's mark is ever dropped", async (t) => {
  const { database, run, name } = await subject(t);
  await t.throwsAsync(database.drop('blue', 'copy'), { instanceOf: StepError, message: /does not carry/ });
  await t.throwsAsync(database.drop('blue', 'previous'), { instanceOf: StepError });
  const strange = await server.database();
  await database.bindByName('green', strange);
  for (const comment of [
    'NULL',
    `'cutover run=20260101-000000-beef as=copy (the copy made by this run; not live)'`,
    `'cutover run=${run}x as=copy (x)'`,
    `'cutover run=${run} as=previous (x)'`,
    `'see cutover run=${run} as=copy (x)'`,
  ]) {
    await server.sql(`comment on database "${strange}" is ${comment}`);
    const error = await t.throwsAsync(database.drop('green', 'copy'), { instanceOf: StepError }, comment);
    t.true(error.message.includes(strange));
  }
  t.true(await database.has(strange));
  t.true(await database.has(name));
  await database.mark('green', 'copy', undefined);
  const lingering = await server.connect(strange);
  t.true(await database.drop('green', 'copy'), 'with the mark it goes, whoever is connected');
  t.false(await database.drop('green', 'copy'));
  await t.throwsAsync(lingering.query('select 1'));
});

test('taking the mark away brings the comment back to the letter', async (t) => {
  const { database, name } = await subject(t);
  const comment = `it's "ours" \\ \n second line`;
  await database.mark('blue', 'previous', comment);
  t.is((await database.state('blue'))!.mark!.as, 'previous');
  await database.mark('blue', undefined, comment);
  const [row] = await server.sql(
    `select shobj_description(oid, 'pg_database') as comment from pg_database where datname = '${name}'`,
  );
  t.is(row!['comment'], comment);
});

// rename

async function renamable(t: ExecutionContext, on = server) {
  const blue = await subject(t, { on });
  const green = unique('green');
  await blue.database.clone(await closeAndPlan(blue, green), control);
  await blue.database.close('green', end, control);
  await blue.database.releaseReaders();
  const previous = unique('previous');
  const moves: { side: Side; from: string; to: string }[] = [
    { side: 'blue', from: blue.name, to: previous },
    { side: 'green', from: green, to: blue.name },
  ];
  return { ...blue, green, previous, moves };
}

test('a rename ends the sessions that linger, and moves both databases', async (t) => {
  const { database, name, previous, moves } = await renamable(t);
  await database.open('blue');
  const [one, two] = [await server.connect(name), await server.connect(name)];
  await one.query('begin; select 1');
  await two.query('select 1');
  await server.sql(`alter database "${name}" allow_connections false`);
  const started = Date.now();
  await database.rename(moves);
  t.true(Date.now() - started < 3000, `it took ${Date.now() - started} ms`);
  t.is((await database.state('green'))!.name, name);
  t.is((await database.state('blue'))!.name, previous);
});

test('a rename whose name is taken, or whose database has another name by now, moves nothing', async (t) => {
  const { database, name, green, previous, moves } = await renamable(t);
  await server.sql(`create database "${previous}"`);
  const taken = await t.throwsAsync(database.rename(moves), { instanceOf: StepError });
  t.true(taken.message.includes(previous));
  await server.sql(`drop database "${previous}"`);
  const elsewhere = await t.throwsAsync(
    database.rename([moves[0]!, { side: 'green', from: 'another', to: name }]),
    { instanceOf: StepError },
  );
  t.true(elsewhere.message.includes(green));
  t.is((await database.state('blue'))!.name, name);
  t.is((await database.state('green'))!.name, green);
  await database.rename(moves);
});

test('a client that reconnects without pause does not keep two closed databases from being renamed', async (t) => {
  const { database, name, previous, moves } = await renamable(t);
  const stop = new AbortController();
  const client = (async () => {
    while (!stop.signal.aborted) {
      const one = await connectTo(server, name).catch(() => undefined);
      await one?.end();
    }
  })();
  for (let round = 0; round < 5; round += 1) {
    await database.rename(moves);
    t.is((await database.state('green'))!.name, name);
    await database.rename(moves.toReversed().map(({ side, from, to }) => ({ side, from: to, to: from })));
    t.is((await database.state('blue'))!.name, name);
  }
  stop.abort();
  await client;
  await database.rename(moves);
  t.is((await database.state('blue'))!.name, previous);
});

test('a server that is killed in the middle of renames never has half of one', async (t) => {
  const on = await testServer(DEFAULT_MAJOR, { fsync: 'on' });
  t.teardown(() => on.stop());
  const { database, name, green, previous, moves } = await renamable(t, on);
  await database.end();
  const back = moves.toReversed().map(({ side, from, to }) => ({ side, from: to, to: from }));
  let cluster = on.cluster;
  let renames = 0;
  for (let round = 0; round < 5; round += 1) {
    const run = newRun();
    const live = new Postgres({ url: cluster.url('postgres'), run, patience: 0 });
    for (const [side, one, two] of [
      ['blue', name, previous],
      ['green', green, name],
    ] as const) {
      const [found] = await sqlOn(
        cluster.url('postgres'),
        `select datname from pg_database where datname in ('${one}', '${two}')`,
      );
      await live.bindByName(side, found!['datname']!).catch(() => undefined);
    }
    // Both sides by the row they are: blue under its first name means not moved.
    const [{ moved } = { moved: false }] = await sqlOn<{ moved: boolean }>(
      cluster.url('postgres'),
      `select exists (select from pg_database where datname = '${previous}') as moved`,
    );
    const oids = await sqlOn<{ oid: number; datname: string }>(
      cluster.url('postgres'),
      `select oid::int8::float8 as oid, datname from pg_database where datname in ('${name}', '${green}', '${previous}')`,
    );
    t.is(oids.length, 2);
    const oidOf = (datname: string): number => oids.find((row) => row.datname === datname)!.oid;
    live.bind('blue', oidOf(moved ? previous : name));
    live.bind('green', oidOf(moved ? name : green));
    let next = moved ? back : moves;
    // However slow the machine is, each round has renamed a few times before the server dies at some instant.
    const enough = renames + 3;
    const killed = (async () => {
      const deadline = Date.now() + 20_000;
      const tooFew = (): boolean => renames < enough && Date.now() < deadline;
      while (tooFew()) await sleep(1);
      await sleep(20 + 37 * round);
      process.kill(cluster.pid, 'SIGKILL');
    })();
    await t.throwsAsync(
      (async () => {
        for (;;) {
          await live.rename(next);
          renames += 1;
          next = next === moves ? back : moves;
        }
      })(),
    );
    await killed;
    await live.end();
    cluster = await startCluster({ binaries: await embeddedBinaries(), home: cluster.folder });
    const after = await sqlOn<{ datname: string }>(
      cluster.url('postgres'),
      `select datname from pg_database where datname in ('${name}', '${green}', '${previous}') order by 1`,
    );
    const names = after.map(({ datname }) => datname).join();
    t.true(
      [
        [name, green],
        [name, previous],
      ].some((pair) => pair.toSorted().join() === names),
      names,
    );
  }
  t.true(renames > 10, `${renames} renames`);
  await cluster.stop();
});

async function sqlOn<R extends QueryResultRow = Record<string, string>>(
  url: string,
  sql: string,
): Promise<R[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}

// writes since the switch

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
    const client = await server.connect(name);
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
  const [row] = await server.sql(
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

// lock

test('of two runs on one database exactly one gets the lock; the other is told who has it', async (t) => {
  const { name, database } = await subject(t);
  const rival = new Postgres({ url: server.url(name), run: 'rival' });
  await rival.bindByName('blue', name);
  t.teardown(() => rival.end());
  const results = await Promise.allSettled([database.lock(), rival.lock()]);
  const refused = results.filter((result) => result.status === 'rejected');
  t.is(refused.length, 1);
  const error = refused[0]!.reason as unknown;
  t.true(error instanceof RefusedError);
  const [winner, loser] = results[0].status === 'fulfilled' ? [database, rival] : [rival, database];
  const [holder] = await server.sql<{ pid: number; application_name: string }>(
    `select pid, application_name from pg_stat_activity where pid in
     (select pid from pg_locks where locktype = 'advisory' and objid = (select oid from pg_database where datname = '${name}'))`,
  );
  t.true(
    (error as Error).message.includes(`${holder!.application_name} from 127.0.0.1 since 20`),
    (error as Error).message,
  );
  t.true((error as Error).message.includes(`(pid ${holder!.pid})`));
  await winner.lock();
  await winner.assertLocked();
  await t.throwsAsync(loser.assertLocked());
  await server.sql(`select pg_terminate_backend(${holder!.pid}, 5000)`);
  await t.throwsAsync(winner.assertLocked(), { instanceOf: StepError, message: /lock was lost/ });
  await loser.lock();
  await loser.assertLocked();
  await loser.end();
  const third = new Postgres({ url: server.url(name), run: 'third' });
  await third.bindByName('blue', name);
  await third.lock();
  await third.end();
});

test('a lock that is let go between the attempt and the question who has it is taken', async (t) => {
  const { name } = await subject(t);
  const [row] = await server.sql<{ oid: number }>(`select oid from pg_database where datname = '${name}'`);
  const { oid } = row!;
  const holder = await connectTo(server, 'postgres');
  t.teardown(() => holder.end().catch(() => undefined));
  const over = new AbortController();
  const [space, key] = [0x6375746f, oid];
  const flicker = (async () => {
    while (!over.signal.aborted) {
      await holder.query(`do $$ begin for i in 1..50 loop
        perform pg_advisory_lock(${space}, ${key}), pg_sleep(0.001);
        perform pg_advisory_unlock(${space}, ${key}), pg_sleep(0.001);
      end loop; end $$`);
    }
  })();
  const address = addressOf(server.url(name), 'flicker');
  let taken = 0;
  for (let round = 0; round < 25; round += 1) {
    try {
      await (await RunLock.take(address, [oid], 5000)).release();
      taken += 1;
    } catch (error) {
      t.regex((error as Error).message, /: .* from 127\.0\.0\.1 since/);
    }
  }
  over.abort();
  await flicker.catch(() => undefined);
  t.true(taken > 0);
});

test('two runs on two databases do not hinder each other', async (t) => {
  const [one, two] = [await subject(t), await subject(t)];
  await one.database.lock();
  await two.database.lock();
  await t.notThrowsAsync(one.database.assertLocked());
  await two.database.assertLocked();
});

// rights

async function loginRole(on: TestServer, attributes: string): Promise<{ role: string; url: string }> {
  const role = unique('deployer');
  await on.sql(`create role ${role} login password 'pass-word' ${attributes}`);
  const url = new URL(on.url());
  url.username = role;
  url.password = 'pass-word';
  return { role, url: url.href };
}

/** As a role of its own makes it: it owns the database and what is in it. */
async function ownedSubject(
  t: ExecutionContext,
  on: TestServer,
  attributes: string,
): Promise<Subject & { role: string }> {
  const { role, url } = await loginRole(on, attributes);
  const made = await subject(t, { on, url, sql: 'select 1' });
  await on.sql(`alter database "${made.name}" owner to ${role}`);
  const client = await connectTo(on, made.name, { user: role, password: 'pass-word' });
  await client.query('create schema app; create table app.notes (id int primary key, body text)');
  await client.end();
  return { ...made, role };
}

async function wholeLife(t: ExecutionContext, on: TestServer, blue: Subject, user?: string): Promise<void> {
  const { database, name } = blue;
  await database.lock();
  const green = unique('green');
  const plan = await closeAndPlan(blue, green);
  await database.clone(plan, control);
  await database.close('green', end, control);
  const baseline = await database.baseline('green');
  await database.releaseReaders();
  await database.assertLocked();
  const previous = unique('previous');
  await database.rename([
    { side: 'blue', from: name, to: previous },
    { side: 'green', from: green, to: name },
  ]);
  await database.mark('blue', 'previous', undefined);
  await database.mark('green', undefined, undefined);
  await database.open('green');
  const client = await connectTo(on, name, user ? { user, password: 'pass-word' } : {});
  await client.query(`insert into app.notes values (1, 'new')`);
  await database.close('green', end, control);
  t.deepEqual((await database.writesSince('green', baseline)).tables, [
    { table: 'app.notes', newer: 1n, lost: 0n },
  ]);
  await t.throwsAsync(database.drop('green', 'previous'));
  t.true(await database.drop('blue', 'previous'));
}

test('a role that owns blue, may create databases and end sessions is all it takes', async (t) => {
  for (const major of majors()) {
    const on = major === DEFAULT_MAJOR ? server : await testServer(major, settings);
    if (on !== server) t.teardown(() => on.stop());
    const blue = await ownedSubject(t, on, 'nosuperuser createdb in role pg_signal_backend');
    const failures = lookAtFacts(await blue.database.inspect(), inputFor(blue.name)).filter(
      ({ severity }) => severity === 'failure',
    );
    t.deepEqual(failures, [], `${major}`);
    await on.sql(
      `create role ${blue.role}_app login password 'pass-word'; grant ${blue.role} to ${blue.role}_app`,
    );
    const app = await connectTo(on, blue.name, { user: `${blue.role}_app`, password: 'pass-word' });
    await app.query('select 1');
    await wholeLife(t, on, blue, blue.role);
    await t.throwsAsync(app.query('select 1'));
  }
});

const inputFor = (name: string) => ({
  names: { blue: name, green: `${name}_green`, previous: `${name}_previous` },
  bake: [],
  renames: true,
  live: undefined,
  longTransactions: end,
});

test('an unprivileged role gives the transactions of other roles their time, although it may not look into them', async (t) => {
  const blue = await ownedSubject(t, server, 'nosuperuser createdb in role pg_signal_backend');
  const { role, url } = await loginRole(server, '');
  t.truthy(url);
  await server.sql(`grant ${blue.role} to ${role}`);
  const app = await connectTo(server, blue.name, { user: role, password: 'pass-word' });
  await app.query('begin');
  await app.query(`insert into app.notes values (1, 'kept')`);
  const refused = await t.throwsAsync(blue.database.close('blue', { wait: 100, then: 'refuse' }, control), {
    instanceOf: StepError,
  });
  t.true(refused.detail!.includes(role), refused.detail);
  const closing = blue.database.close('blue', { wait: 10_000, then: 'refuse' }, control);
  await sleep(300);
  await app.query('commit');
  await closing;
  t.is(await (await blue.database.reader('blue')).countRows(['app', 'notes']), 1n);
});

test('sessions of superusers that the role may not end are named, and opening puts things back', async (t) => {
  const blue = await ownedSubject(t, server, 'nosuperuser createdb in role pg_signal_backend');
  const root = await server.connect(blue.name);
  await root.query('select 1');
  const error = await t.throwsAsync(blue.database.close('blue', end, control), { instanceOf: StepError });
  t.true(error.message.includes('user=postgres'), error.message);
  t.true(error.hint!.includes('superuser'));
  await blue.database.open('blue');
  await root.query('select 1');
});

test('a role that lacks a right is told which, and the command that gives it', async (t) => {
  const name = await server.database();
  const inspect = async (attributes: string): Promise<[Facts, string]> => {
    const { role, url } = await loginRole(server, attributes);
    const database = new Postgres({ url: withDatabase(url, name), run: newRun() });
    t.teardown(() => database.end());
    await database.bindByName('blue', name);
    return [await database.inspect(), role];
  };
  const [none, role] = await inspect('');
  const hints = lookAtFacts(none, inputFor(name))
    .filter(({ severity }) => severity === 'failure')
    .map(({ hint }) => hint!);
  t.deepEqual(hints, [
    `ALTER ROLE "${role}" CREATEDB`,
    `GRANT "postgres" TO "${role}"`,
    `GRANT pg_signal_backend TO "${role}"`,
  ]);
  const [creator] = await inspect('createdb');
  t.false(lookAtFacts(creator, inputFor(name)).some(({ hint }) => hint?.includes('CREATEDB')));
  const [signaller] = await inspect('in role pg_signal_backend');
  t.false(lookAtFacts(signaller, inputFor(name)).some(({ hint }) => hint?.includes('pg_signal_backend')));
});

// lost connections

const endTool = (run: string, sql = 'true') =>
  server.sql(
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'cutover ${run}' and ${sql}`,
  );

test('a lost connection between two calls is not noticed by anybody', async (t) => {
  const { database, run, name } = await subject(t);
  for (let round = 0; round < 3; round += 1) {
    t.is((await database.state('blue'))!.name, name);
    t.true((await endTool(run)).length > 0);
    t.is((await database.inspect()).blue.name, name);
    await endTool(run);
    await database.close('blue', end, control);
    await endTool(run, `datname = 'postgres'`);
    await database.open('blue');
    await database.reader('blue');
    await endTool(run);
    t.is(await (await database.reader('blue')).countRows(['public', 'notes']), 0n);
  }
});

test('asking several things at once after a lost connection leaves no connection behind', async (t) => {
  const { database, run, name } = await subject(t);
  await endTool(run);
  await Promise.all([
    database.state('blue'),
    database.state('blue'),
    database.has(name),
    database.reader('blue'),
    database.reader('blue'),
  ]);
  await database.end();
  for (const until = Date.now() + 5000; Date.now() < until;) {
    const left = await server.sql(`select 1 from pg_stat_activity where application_name = 'cutover ${run}'`);
    if (left.length === 0) return t.pass();
    await sleep(20);
  }
  t.fail('a connection is left');
});

test('a server that restarts is waited for as long as patience lasts', async (t) => {
  const on = await testServer();
  const { database, name } = await subject(t, { on });
  await on.cluster.stop();
  database.setPatience(100);
  await t.throwsAsync(database.state('blue'), { instanceOf: StepError, message: /ECONNREFUSED/ });
  database.setPatience(20_000);
  const waiting = database.state('blue');
  await sleep(500);
  // The same port again, which a start of the tool's own would choose anew.
  const options = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    port: String(on.cluster.port),
  };
  const child = spawn(
    `${await embeddedBinaries()}/postgres`,
    [
      '-D',
      `${on.cluster.folder}/data`,
      ...Object.entries(options).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
    ],
    { cwd: '/', stdio: 'ignore', ...serverAccount() },
  );
  t.is((await waiting)!.name, name);
  await database.end();
  const exited = once(child, 'exit');
  child.kill('SIGINT');
  await exited;
  await on.stop();
});

for (const major of majors()) {
  test(`close, clone, rename and writes work on ${major}`, async (t) => {
    const on = major === DEFAULT_MAJOR ? server : await testServer(major, settings);
    if (on !== server) t.teardown(() => on.stop());
    const blue = await subject(t, {
      on,
      sql: 'create schema app; create table app.notes (id int primary key, body text)',
    });
    await wholeLife(t, on, blue);
  });
}
