import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import ava from 'ava';
import { reachable, serverAccount, SHARED_HOME } from '../src/databases/postgres/embedded/binaries.ts';
import { ask } from './helpers/ask.ts';
import { begin, finish, firstLine, gone, lives, newHome, otherProcess } from './helpers/embedded.ts';

// Processes are counted and killed here: one test after the other.
const test = ava.serial;
const isRoot = process.getuid?.() === 0;

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
  const child = otherProcess(home, { uid: 65534, gid: 65534 });
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
  const child = otherProcess(home);
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
  const children = [otherProcess(home), otherProcess(home), otherProcess(home)];
  const found = await Promise.all(children.map(firstLine));
  t.is(new Set(found.map(({ pid }) => pid)).size, 1, found.map(({ pid }) => pid).join());
  t.true(found[0]!.pid > 0);
  await Promise.all(children.map(finish));
  t.true(await gone(found[0]!.pid), 'and nobody leaves it running');
});
