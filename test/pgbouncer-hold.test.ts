import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { Ledger, LEDGER_SCHEMA } from './helpers/ledger.ts';
import { NEEDS_PGBOUNCER, type Pooler } from './helpers/pgbouncer.ts';
import { line, openTarget, pgbouncerTarget, type Subject } from './helpers/pgbouncer-target.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { slowClient } from './helpers/slow-client.ts';
import { until } from './helpers/until.ts';

const real = NEEDS_PGBOUNCER === '' ? ava.serial : ava.serial.skip;

let server: TestServer;
ava.before(async () => {
  server = await testServer();
  await server.sql(`create role app login password 'app-word'`);
});
ava.after.always(() => server?.stop());

const subject = (
  t: ExecutionContext,
  lines: readonly string[] = [line(server, 'shop', 'postgres')],
  settings: Record<string, string> = {},
  more: { database?: string | string[]; blue?: string } = {},
): Promise<Subject> => pgbouncerTarget(t, lines, settings, more);

const paused = async (pooler: Pooler): Promise<string[]> =>
  (await pooler.ask('SHOW DATABASES'))
    .filter((row) => String(row['paused']) === '1')
    .map(({ name }) => name!);
const setting = async (pooler: Pooler, name: string): Promise<string> =>
  (await pooler.ask('SHOW CONFIG')).find(({ key }) => key === name)!['value']!;
const loginRetry = (pooler: Pooler): Promise<string> => setting(pooler, 'server_login_retry');

const never = new AbortController().signal;

real(`clients wait while it is paused, go on elsewhere, and see no error${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target, client } = await subject(t);
  const one = await client();
  await one.query('select 1');
  await target.hold!.ready();
  await target.hold!.pause(never);
  t.deepEqual(await paused(pooler), ['shop']);
  const waiting = one.query<{ name: string }>('select current_database() as name');
  await target.switch('blue', 'green');
  t.true(await target.hold!.release());
  // RELOAD had taken it back: a login that fails now is tried again at once.
  t.is(await loginRetry(pooler), '0');
  t.is((await waiting).rows[0]!.name, 'template1');
  t.false(await target.hold!.release());
  await target.end!();
  t.is(await loginRetry(pooler), '15');
});

real(
  `a transaction in flight outlasts the pause: clients go on, it too, and nothing stays paused${NEEDS_PGBOUNCER}`,
  async (t) => {
    const { pooler, target, client } = await subject(t);
    const [busy, idle] = [await client(), await client()];
    await busy.query('begin');
    await target.hold!.ready();
    await t.throwsAsync(target.hold!.pause(AbortSignal.timeout(100)));
    const waiting = idle.query('select 1');
    await target.hold!.release();
    await waiting;
    t.deepEqual(await paused(pooler), []);
    await busy.query('commit');
    await idle.query('select 1');
    t.deepEqual(await paused(pooler), []);
  },
);

real(
  `while one transaction outlasts the pause, other databases get their logins${NEEDS_PGBOUNCER}`,
  async (t) => {
    const { pooler, target, client } = await subject(t, [
      line(server, 'shop', 'postgres'),
      line(server, 'other', 'postgres'),
    ]);
    t.timeout(20_000);
    const busy = await client();
    await busy.query('begin');
    const [one, two] = [await pooler.client('other'), await pooler.client('other')];
    await one.query('begin');
    const over = new AbortController();
    const pausing = target.hold!.pause(over.signal).catch(() => undefined);
    await until('the mark', async () => (await paused(pooler)).includes('shop'));
    // A second connection to a database of which one is open.
    await two.query('select 1');
    t.is(await setting(pooler, 'max_db_connections'), '0');
    over.abort();
    await pausing;
    await target.hold!.release();
    await busy.query('commit');
    await one.query('commit');
    await Promise.all([busy.end(), one.end(), two.end()]);
  },
);

real(`another process releases what one that died had paused${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target, client } = await subject(t);
  const one = await client();
  await target.hold!.pause(never);
  const waiting = one.query('select 1');
  const other = openTarget(pooler);
  t.true(await other.hold!.release());
  await waiting;
  await other.end!();
  t.is(await loginRetry(pooler), '15');
});

real(
  `PgBouncer killed in the pause comes up on what its file says, and is released${NEEDS_PGBOUNCER}`,
  async (t) => {
    const { pooler, target, client } = await subject(t);
    await target.hold!.pause(never);
    pooler.process.kill('SIGKILL');
    await pooler.start();
    await until('the console', async () => (await target.current().catch(() => undefined)) === 'blue');
    await target.switch('blue', 'green');
    await target.hold!.release();
    const { rows } = await (await client()).query<{ name: string }>('select current_database() as name');
    t.is(rows[0]!.name, 'template1');
  },
);

real(`several entries are held and led together${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target } = await subject(
    t,
    [line(server, 'shop', 'postgres'), line(server, 'alias', 'postgres')],
    {},
    { database: ['shop', 'alias'] },
  );
  await target.prepare('blue', 'green');
  await target.hold!.pause(never);
  t.deepEqual((await paused(pooler)).toSorted(), ['alias', 'shop']);
  await target.switch('blue', 'green');
  await target.hold!.release();
  t.deepEqual(await paused(pooler), []);
  t.is(await target.current(), 'green');
});

real(`a pause that is called off at any moment comes to nothing${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target } = await subject(t);
  const slow = await slowClient(pooler.url('shop'), 0.01);
  const watch = await pooler.watch();
  for (let tenths = 0; tenths < 60; tenths += 1) {
    await target.hold!.ready();
    const over = new AbortController();
    const pausing = target.hold!.pause(over.signal).catch(() => undefined);
    const until = performance.now() + tenths / 10;
    while (performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
    over.abort();
    await pausing;
    await target.hold!.release();
    await sleep(5);
    t.false(await watch.isPaused('shop'), `called off after ${tenths / 10} ms`);
  }
  await watch.end();
  await slow.end();
});

real(`a pause that is called off before it came leaves PgBouncer as it was${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target } = await subject(t);
  await t.throwsAsync(target.hold!.pause(AbortSignal.abort(new Error('called off'))));
  t.false(await target.hold!.release());
  await target.hold!.tidy();
  t.is(await loginRetry(pooler), '15');
  t.is(await setting(pooler, 'max_db_connections'), '0');
});

real(`when one entry cannot be paused, none is${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target, client } = await subject(
    t,
    [line(server, 'shop', 'postgres')],
    {},
    { database: ['shop', 'missing'] },
  );
  await target.hold!.ready();
  // The first would wait for its transaction; PgBouncer does not know the second one.
  const busy = await client();
  await busy.query('begin');
  await t.throwsAsync(target.hold!.pause(never), { message: /no such database/ });
  await target.hold!.release();
  await sleep(50);
  t.deepEqual(await paused(pooler), []);
  await busy.query('commit');
});

real(`what a process that died has set is put back by the next one${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target } = await subject(t);
  await target.stage!('green');
  await target.hold!.pause(never);
  await target.hold!.release();
  t.is(await loginRetry(pooler), '0');
  // It has died in this second: another one finds nobody held.
  const other = openTarget(pooler);
  t.false(await other.hold!.release());
  await other.hold!.tidy();
  t.is(await loginRetry(pooler), '15');
  await pooler.ask('SET server_login_retry=0');
  await pooler.ask('SET max_db_connections=1');
  const third = openTarget(pooler);
  await third.hold!.ready();
  t.is(await loginRetry(pooler), '15');
  t.is(await setting(pooler, 'max_db_connections'), '0');
  await other.end!();
  await third.end!();
});

real(`no login is cut off where clients need new connections all the time${NEEDS_PGBOUNCER}`, async (t) => {
  const database = await server.database('busy');
  await server.sql(`${LEDGER_SCHEMA} grant all on all tables in schema public to app`, database);
  // A login takes long enough to be caught in the middle; after every pause each client needs one.
  const slow = ` connect_query='select pg_sleep(0.003)'`;
  const { pooler, target } = await subject(
    t,
    [line(server, 'shop', database) + slow],
    { max_db_connections: '50' },
    { blue: database },
  );
  const ledger = new Ledger(pooler.url('shop'));
  ledger.start();
  await sleep(300);
  for (let pauses = 0; pauses < 100; pauses += 1) {
    await target.hold!.ready();
    await target.hold!.pause(never);
    t.is(await setting(pooler, 'max_db_connections'), '50');
    await target.hold!.release();
    await sleep(20);
  }
  const { errors, acknowledged } = await ledger.stop();
  t.deepEqual(errors, []);
  t.true(acknowledged > 100, `${acknowledged}`);
});
