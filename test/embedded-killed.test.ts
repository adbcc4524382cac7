import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ava from 'ava';
import { Client } from 'pg';
import { StepError } from '../src/core/errors.ts';
import { embeddedBinaries, serverAccount } from '../src/databases/postgres/embedded/binaries.ts';
import { startCluster } from '../src/databases/postgres/embedded/cluster.ts';
import { ask } from './helpers/ask.ts';
import { begin, firstLine, gone, lives, newHome, otherProcess } from './helpers/embedded.ts';

// Processes are counted and killed here: one test after the other.
const test = ava.serial;

test('a server whose owner was killed goes on; the next start adopts it and stops it in the end', async (t) => {
  const home = await newHome(t);
  const child = otherProcess(home);
  const { pid, url } = await firstLine(child);
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
  t.deepEqual(await ask(url, 'select 1 as one'), [{ one: 1 }]);
  const cluster = await begin(home);
  t.is(cluster.pid, pid);
  await cluster.stop();
  t.true(await gone(pid));
});

test('an interrupt at the terminal reaches the tool and not the server under it', async (t) => {
  const home = await newHome(t);
  const child = otherProcess(home);
  const { pid, url } = await firstLine(child);
  const exit = once(child, 'exit');
  process.kill(-child.pid!, 'SIGINT');
  t.is((await exit)[1], 'SIGINT');
  await sleep(300);
  t.true(lives(pid));
  t.deepEqual(await ask(url, 'select 1 as one'), [{ one: 1 }]);
  await (await begin(home)).stop();
});

test('a server that was killed is started again at once, even while one of its children lingers', async (t) => {
  const home = await newHome(t);
  for (let round = 0; round < 3; round += 1) {
    const cluster = await begin(home);
    await ask(cluster.url('postgres'), 'create table if not exists kept (x int)');
    const busy = ask(cluster.url('postgres'), 'select count(*) from generate_series(1, 5000000)').catch(
      () => undefined,
    );
    await sleep(100);
    process.kill(cluster.pid, 'SIGKILL');
    await gone(cluster.pid);
    const next = await begin(home);
    t.not(next.pid, cluster.pid);
    t.deepEqual(await ask(next.url('postgres'), 'select * from kept'), []);
    await next.stop();
    await busy;
  }
});

test('a child of a server that was killed is waited for, however long it takes', async (t) => {
  const home = await newHome(t);
  const cluster = await begin(home);
  const client = new Client({ connectionString: cluster.url('postgres') });
  client.on('error', () => undefined);
  await client.connect();
  const { pid } = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!;
  process.kill(pid, 'SIGSTOP');
  process.kill(cluster.pid, 'SIGKILL');
  await gone(cluster.pid);
  const starting = begin(home);
  // Longer than a few attempts in quick succession.
  await Promise.race([starting.catch(() => undefined), sleep(9000)]);
  process.kill(pid, 'SIGCONT');
  const next = await starting;
  t.is(next.port, cluster.port, 'and the connection string stays good');
  await next.stop();
});

test('a server that nobody reaps counts as stopped when it has ended', async (t) => {
  const home = await newHome(t);
  const before = await begin(home);
  await before.stop();
  await rm(join(home, 'owner'), { force: true });
  // Its parent becomes a program that waits for nobody, as the first process of a container often is.
  const line = `"$0" -D "$1" -c port=${before.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= >/dev/null 2>&1 & exec sleep 60`;
  const parent = spawn('/bin/sh', ['-c', line, `${await embeddedBinaries()}/postgres`, join(home, 'data')], {
    cwd: '/',
    stdio: 'ignore',
    ...serverAccount(),
  });
  try {
    for (
      const until = Date.now() + 10_000;
      Date.now() < until && !(await ask(before.url('postgres'), 'select 1').catch(() => undefined));
    )
      await sleep(50);
    const cluster = await begin(home);
    t.is(cluster.port, before.port, 'it is the one that the shell started');
    await Promise.race([
      cluster.stop(),
      sleep(15_000, undefined, { ref: false }).then(() => t.fail('it waits for ever')),
    ]);
    t.false(lives(cluster.pid));
    const next = await begin(home);
    t.not(next.pid, cluster.pid);
    process.kill(next.pid, 'SIGKILL');
    await gone(next.pid);
  } finally {
    parent.kill('SIGKILL');
  }
});

test('a server that cannot start says why, with the end of its log', async (t) => {
  const home = await newHome(t);
  const error = await t.throwsAsync(
    startCluster({ binaries: await embeddedBinaries(), home, settings: { shared_buffers: 'nonsense' } }),
    { instanceOf: StepError },
  );
  t.true(error.detail!.includes('nonsense'), error.detail);
  t.is(error.where, join(home, 'log'));
  const unknown = await t.throwsAsync(embeddedBinaries('no-such-package'), { instanceOf: StepError });
  t.regex(unknown.hint!, /npm install no-such-package/);
});
