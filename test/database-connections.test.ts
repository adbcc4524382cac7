// The lock of a run, and connections that are lost.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError, StepError } from '../src/core/errors.ts';
import { embeddedBinaries, serverAccount } from '../src/databases/postgres/embedded/binaries.ts';
import { addressOf } from '../src/databases/postgres/address.ts';
import { RunLock } from '../src/databases/postgres/lock.ts';
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { testServer } from './helpers/postgres.ts';
import { connectTo, control, databaseSuite, end } from './helpers/database-suite.ts';

const { test, server, subject } = databaseSuite();

test('of two runs on one database exactly one gets the lock; the other is told who has it', async (t) => {
  const { name, database } = await subject(t);
  const rival = new Postgres({ url: server().url(name), run: 'rival' });
  await rival.bindByName('blue', name);
  t.teardown(() => rival.end());
  const results = await Promise.allSettled([database.lock(), rival.lock()]);
  const refused = results.filter((result) => result.status === 'rejected');
  t.is(refused.length, 1);
  const error = refused[0]!.reason as unknown;
  t.true(error instanceof RefusedError);
  const [winner, loser] = results[0].status === 'fulfilled' ? [database, rival] : [rival, database];
  const [holder] = await server().sql<{ pid: number; application_name: string }>(
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
  await server().sql(`select pg_terminate_backend(${holder!.pid}, 5000)`);
  await t.throwsAsync(winner.assertLocked(), { instanceOf: StepError, message: /lock was lost/ });
  await loser.lock();
  await loser.assertLocked();
  await loser.end();
  const third = new Postgres({ url: server().url(name), run: 'third' });
  await third.bindByName('blue', name);
  await third.lock();
  await third.end();
});

test('a lock that is let go between the attempt and the question who has it is taken', async (t) => {
  const { name } = await subject(t);
  const [row] = await server().sql<{ oid: number }>(`select oid from pg_database where datname = '${name}'`);
  const { oid } = row!;
  const holder = await connectTo(server(), 'postgres');
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
  const address = addressOf(server().url(name), 'flicker');
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

const endTool = (run: string, sql = 'true') =>
  server().sql(
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
    const left = await server().sql(
      `select 1 from pg_stat_activity where application_name = 'cutover ${run}'`,
    );
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
