import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { Client } from 'pg';
import { StepError } from '../src/core/errors.ts';
import {
  embeddedBinaries,
  reachable,
  serverAccount,
  SHARED_HOME,
} from '../src/databases/postgres/embedded/binaries.ts';
import { startCluster, type Cluster } from '../src/databases/postgres/embedded/cluster.ts';
import { openEmbedded } from '../src/databases/postgres/embedded/embedded.ts';
import { ask } from './helpers/ask.ts';

// Processes are counted and killed here: one test after the other.
const test = ava.serial;
const isRoot = process.getuid?.() === 0;

/** A folder that goes away, with every server that still runs in it. */
async function newHome(t: ExecutionContext, name = 'home'): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'cutover-embedded-'));
  await chmod(parent, 0o755);
  const home = join(parent, name);
  t.teardown(async () => {
    const pid = postmaster(home);
    if (pid !== undefined && lives(pid)) {
      process.kill(pid, 'SIGKILL');
      await gone(pid);
    }
    await rm(parent, { recursive: true, force: true });
  });
  return home;
}

function postmaster(home: string): number | undefined {
  const file = join(home, 'data', 'postmaster.pid');
  return existsSync(file) ? Number(readFileSync(file, 'utf8').split('\n')[0]) : undefined;
}

function lives(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<boolean> {
  for (const until = Date.now() + 10_000; lives(pid) && Date.now() < until;) await sleep(20);
  return !lives(pid);
}

const begin = async (home: string): Promise<Cluster> =>
  startCluster({ binaries: await embeddedBinaries(), home, settings: { fsync: 'off' } });

const module = (name: string): string =>
  JSON.stringify(new URL(`../src/databases/postgres/embedded/${name}.ts`, import.meta.url).href);

/** Another process that starts the server in `home`, prints its pid and waits for a line before it goes on to stop it. */
function process2(
  home: string,
  more: { uid?: number; gid?: number; env?: Record<string, string> } = {},
): ChildProcess {
  const script = `
    import { once } from 'node:events';
    const { embeddedBinaries } = await import(${module('binaries')});
    const { startCluster } = await import(${module('cluster')});
    const cluster = await startCluster({ binaries: await embeddedBinaries(), home: ${JSON.stringify(home)} });
    console.log(cluster.pid, cluster.url('postgres'));
    await once(process.stdin, 'data');
    await cluster.stop();
    console.log('stopped');
    process.exit();`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
    ...more,
  });
}

async function firstLine(child: ChildProcess): Promise<{ pid: number; url: string }> {
  const lines = createInterface({ input: child.stdout! });
  const [line] = (await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(() => ['0 exited']),
  ])) as [string];
  const [pid, url] = line.split(' ');
  return { pid: Number(pid), url: url! };
}

async function finish(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.stdin!.write('\n');
  await exit;
}

test('a cluster is made, stopped and started again with what was in it; nobody else can look in', async (t) => {
  const home = await newHome(t, `my shop's "home"`);
  const first = await begin(home);
  t.is(first.folder, home);
  await ask(first.url('postgres'), 'create table kept as select 1 as x');
  t.is((await stat(home)).mode & 0o777, 0o700);
  t.is((await stat(join(home, 'password'))).mode & 0o777, 0o600);
  const wrong = new URL(first.url('postgres'));
  wrong.password = 'guess';
  await t.throwsAsync(ask(wrong.href, 'select 1'), { message: /password authentication failed/ });
  t.deepEqual(await ask(first.url('postgres'), 'show listen_addresses'), [{ listen_addresses: '127.0.0.1' }]);
  await first.stop();
  t.false(lives(first.pid));
  await first.stop();
  const second = await begin(home);
  t.deepEqual(await ask(second.url('postgres'), 'select * from kept'), [{ x: 1 }]);
  const account = serverAccount();
  if (account) t.is((await stat(`/proc/${second.pid}`)).uid, account.uid, 'it does not run as root');
  await second.stop();
});

test('an ordinary user starts a cluster too', async (t) => {
  if (!isRoot) return t.pass('the other tests run as one');
  const home = await newHome(t);
  await chmod(join(home, '..'), 0o777);
  const child = process2(home, { uid: 65534, gid: 65534 });
  const { pid, url } = await firstLine(child);
  t.is((await stat(`/proc/${pid}`)).uid, 65534);
  t.deepEqual(await ask(url, 'select 1 as one'), [{ one: 1 }]);
  await finish(child);
  t.true(await gone(pid));
});

test('a folder that the server cannot reach is exchanged for one that it can; its own mode does not matter', async (t) => {
  if (!isRoot) return t.pass('needs root');
  const parent = join(await newHome(t), '..');
  const own = await mkdtemp(join(parent, 'private-'));
  t.is((await stat(own)).mode & 0o777, 0o700);
  const inPlace = await begin(own);
  t.is(inPlace.folder, own);
  await inPlace.stop();
  await rm(own, { recursive: true });

  const locked = join(parent, 'locked');
  await mkdir(locked, { mode: 0o700 });
  const cluster = await begin(join(locked, 'home'));
  t.true(cluster.folder.startsWith(`${SHARED_HOME}/embedded-`));
  t.deepEqual(readdirSync(join(locked, 'home')), ['location']);
  const again = await begin(join(locked, 'home'));
  t.is(again.pid, cluster.pid, 'it is found there again');
  await cluster.stop();
  // Without its folder it begins afresh, and the files that nobody points at any more go.
  await rm(join(locked, 'home'), { recursive: true });
  const fresh = await begin(join(locked, 'home'));
  t.not(fresh.folder, cluster.folder);
  t.false(existsSync(cluster.folder));
  await fresh.stop();
  await rm(fresh.folder, { recursive: true, force: true });
});

test('whether a folder can be reached follows from the modes on the way to it', async (t) => {
  const parent = join(await newHome(t), '..');
  const account = { uid: 65533, gid: 65533 };
  await mkdir(join(parent, 'a', 'b'), { recursive: true });
  for (const [mode, expected] of [
    [0o755, true],
    [0o711, true],
    [0o750, false],
    [0o700, false],
  ] as const) {
    await chmod(join(parent, 'a'), mode);
    t.is(await reachable(join(parent, 'a', 'b'), account), expected, mode.toString(8));
    t.is(await reachable(join(parent, 'a', 'b', 'not', 'there', 'yet'), account), expected);
  }
  t.true(await reachable(join(parent, 'a', 'b'), undefined));
});

test('whoever comes second attaches to the server, and leaves it to the first to stop it', async (t) => {
  const home = await newHome(t);
  const cluster = await begin(home);
  const child = process2(home);
  const { pid, url } = await firstLine(child);
  t.is(pid, cluster.pid);
  t.is(url, cluster.url('postgres'));
  await finish(child);
  t.true(lives(cluster.pid), 'the second one stopped nothing');
  t.deepEqual(await ask(cluster.url('postgres'), 'select 1 as one'), [{ one: 1 }]);
  await cluster.stop();
  t.true(await gone(cluster.pid));
});

test('of two processes that start at once both have the one server', async (t) => {
  const home = await newHome(t);
  await (await begin(home)).stop();
  const children = [process2(home), process2(home), process2(home)];
  const found = await Promise.all(children.map(firstLine));
  t.is(new Set(found.map(({ pid }) => pid)).size, 1, found.map(({ pid }) => pid).join());
  t.true(found[0]!.pid > 0);
  await Promise.all(children.map(finish));
  t.true(await gone(found[0]!.pid), 'and nobody leaves it running');
});

test('a server whose owner was killed goes on; the next start adopts it and stops it in the end', async (t) => {
  const home = await newHome(t);
  const child = process2(home);
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
  const child = process2(home);
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
  await next.stop();
  t.pass();
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

// openEmbedded

async function fixture(t: ExecutionContext, ...files: string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-fixture-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const load = files.map((_, index) => `${index}.sql`);
  await writeFile(join(folder, 'fixture.yml'), JSON.stringify({ load }));
  await Promise.all(files.map((text, index) => writeFile(join(folder, load[index]!), text)));
  return folder;
}

const source = (database: string, more: { fixture?: string; stay?: boolean } = {}) =>
  ({ kind: 'embedded', database, stay: false, ...more }) as const;

const databases = async (home: string): Promise<string[]> => {
  const cluster = await begin(home);
  const rows = await ask(cluster.url('postgres'), 'select datname from pg_database order by 1');
  await cluster.stop();
  return rows.map(({ datname }) => String(datname));
};

test('the fixture is loaded once, and the database stays as it was left', async (t) => {
  const home = await newHome(t);
  const folder = await fixture(t, 'create table a (x int);', 'insert into a values (1);');
  const name = 'Odd "Shop" ñ';
  const first = await openEmbedded(source(name, { fixture: folder }), home);
  t.is(first.stays, undefined);
  await ask(first.url, 'insert into a values (2)');
  await first.end();
  t.is(postmaster(home), undefined, 'it was stopped');
  const second = await openEmbedded(source(name, { fixture: folder }), home);
  t.deepEqual(await ask(second.url, 'select count(*)::int as n from a'), [{ n: 2 }]);
  await second.end();
});

test('a fixture that fails half way leaves no database and no server, and says in which file it failed', async (t) => {
  const home = await newHome(t);
  const folder = await fixture(
    t,
    'create table a (x int);',
    'insert into a values (1); insert into nowhere values (1);',
  );
  const error = await t.throwsAsync(openEmbedded(source('shop', { fixture: folder }), home), {
    instanceOf: StepError,
  });
  t.is(error.where, join(folder, '1.sql'));
  t.regex(error.message, /nowhere/);
  t.is(postmaster(home), undefined);
  t.deepEqual(await databases(home), ['postgres', 'template0', 'template1']);
  await writeFile(join(folder, '1.sql'), 'insert into a values (1)');
  const server = await openEmbedded(source('shop', { fixture: folder }), home);
  t.deepEqual(await ask(server.url, 'select x from a'), [{ x: 1 }]);
  await server.end();
});

test('what a process left that was killed while it loaded goes with the next start', async (t) => {
  const home = await newHome(t);
  const folder = await fixture(t, 'create table a (x int); select pg_sleep(60);');
  const script = `const { openEmbedded } = await import(${module('embedded')});
    await openEmbedded(${JSON.stringify(source('shop', { fixture: folder }))}, ${JSON.stringify(home)});`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: '/',
    stdio: 'ignore',
    detached: true,
  });
  const exit = once(child, 'exit');
  for (const until = Date.now() + 20_000; Date.now() < until && !existsSync(join(home, 'owner'));)
    await sleep(50);
  await sleep(700);
  child.kill('SIGKILL');
  await exit;
  await writeFile(join(folder, '0.sql'), 'create table a (x int)');
  const server = await openEmbedded(source('shop', { fixture: folder }), home);
  t.deepEqual(await ask(server.url, `select datname from pg_database where datname like '%loading%'`), []);
  t.deepEqual(await ask(server.url, 'select * from a'), []);
  await server.end();
});

test('a server that is told to stay does, until somebody stops it by hand', async (t) => {
  const home = await newHome(t);
  const first = await openEmbedded(source('shop', { stay: true }), home);
  t.regex(first.stays!, /psql -h 127\.0\.0\.1 -p \d+ -U postgres/);
  t.false(
    first.stays!.includes(readFileSync(join(home, 'password'), 'utf8').trim()),
    'the password is not shown',
  );
  const pid = postmaster(home)!;
  await first.end();
  t.true(lives(pid));
  const second = await openEmbedded(source('shop'), home);
  t.is(postmaster(home), pid);
  await second.end();
  t.true(lives(pid), 'also after a run that would not have let it stay');
  process.kill(pid, 'SIGINT');
  t.true(await gone(pid));
  const third = await openEmbedded(source('shop'), home);
  await third.end();
  t.is(postmaster(home), undefined, 'the word is forgotten with the server');
});

test('nothing of the password is in the process list', async (t) => {
  const home = await newHome(t);
  const cluster = await begin(home);
  const password = readFileSync(join(home, 'password'), 'utf8').trim();
  t.true(password.length >= 20);
  const list = spawnSync('ps', ['axeww'], { encoding: 'utf8' }).stdout;
  t.true(list.includes(String(cluster.pid)));
  t.false(list.includes(password));
  await cluster.stop();
});
