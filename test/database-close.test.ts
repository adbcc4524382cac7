// Closing a database to everybody, and opening it again as it was.
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { StepError } from '../src/core/errors.ts';
import { until } from './helpers/until.ts';
import { connectTo, control, databaseSuite, end, unique } from './helpers/database-suite.ts';

const { test, server, subject, others } = databaseSuite();

test('closing ends idle, active, idle-in-transaction and long-running sessions, and only the reader goes on', async (t) => {
  const { name, database } = await subject(t);
  const reader = await database.reader('blue');
  const [idle, open, busy] = await Promise.all([1, 2, 3].map(() => server().connect(name)));
  await open!.query(`begin; insert into notes values (1, 'lost')`);
  const running = busy!.query('select pg_sleep(60)').catch((error: { code: string }) => error.code);
  await sleep(50);
  const started = Date.now();
  await database.close('blue', { wait: 200, then: 'end' }, control);
  t.true(Date.now() - started >= 200);
  t.deepEqual(await others(name), []);
  t.is(await running, '57P01');
  await t.throwsAsync(idle!.query('select 1'));
  const refused = await t.throwsAsync<Error & { code: string }>(server().connect(name));
  t.is(refused.code, '55000', 'a superuser does not get in either');
  t.is(await reader.countRows(['public', 'notes']), 0n);

  await database.close('blue', end, control);
  t.is(await reader.countRows(['public', 'notes']), 0n, 'and still reads after it was closed again');
  t.true((await database.state('blue'))!.closed);
  await database.open('blue');
  await database.open('blue');
  await server().sql(`insert into notes values (1, 'after')`, name);
});

test('a transaction that ends in time is not harmed', async (t) => {
  const { name, database } = await subject(t);
  const client = await server().connect(name);
  await client.query(`begin; insert into notes values (1, 'kept')`);
  const closing = database.close('blue', { wait: 10_000, then: 'refuse' }, control);
  await sleep(300);
  await client.query('commit');
  await closing;
  t.is(await (await database.reader('blue')).countRows(['public', 'notes']), 1n);
});

test('refusing names the session and what it does; opening puts everything back', async (t) => {
  const { name, database } = await subject(t);
  const client = await server().connect(name);
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
  t.is((await server().sql('select * from notes', name)).length, 1);
});

test('clients that reconnect without pause never get in after the database is closed', async (t) => {
  const { name, database } = await subject(t, { sql: 'create table beats (at timestamptz, who int)' });
  const stop = new AbortController();
  const beats = { written: 0 };
  const clients = Array.from({ length: 8 }, async (_, who) => {
    while (!stop.signal.aborted) {
      const client = await connectTo(server(), name).catch(() => undefined);
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
  const client = new Client({ connectionString: server().url(name), options: '-c post_auth_delay=1' });
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
  await server().sql(
    `begin; insert into notes values (1, 'x'); prepare transaction '${gid.replace("'", "''")}'`,
    name,
  );
  const error = await t.throwsAsync(database.close('blue', end, control), { instanceOf: StepError });
  t.true(error.message.includes(gid));
  t.true(error.hint!.includes(`ROLLBACK PREPARED '${gid.replace("'", "''")}'`));
  await database.open('blue');
  await server().sql(`commit prepared '${gid.replace("'", "''")}'`, name);
  await database.close('blue', end, control);
});

test('an abort stops the waiting', async (t) => {
  const { name, database } = await subject(t);
  const client = await server().connect(name);
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
  const client = await server().connect(name);
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
  const outsider = await server().connect();
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
