import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { StepError } from '../src/core/errors.ts';
import { openEmbedded } from '../src/databases/postgres/embedded/embedded.ts';
import { ask } from './helpers/ask.ts';
import { begin, gone, lives, moduleUrl, newHome, postmaster } from './helpers/embedded.ts';

// Processes are counted and killed here: one test after the other.
const test = ava.serial;

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
  const script = `const { openEmbedded } = await import(${moduleUrl('embedded')});
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
