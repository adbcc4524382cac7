import { globSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type pg from 'pg';
import type { RunState } from '../src/journal/fold.ts';
import { workplace, type Outcome, type Workplace } from './helpers/cli.ts';
import { dump } from './helpers/dump.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

// What is interrupted would take a minute; whoever waits for it instead of ending it is found out.
const LONG = 60;
const PROMPT_MS = 20_000;

// What the many short processes compile is the same each time.
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'cutover-test-compile-cache');

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

interface Shop {
  readonly t: ExecutionContext;
  readonly work: Workplace;
  readonly name: string;
  readonly env: Record<string, string>;
  /** Blue is as it was, open, writable, without a mark; there is no copy, no session and no lock of the tool. */
  readonly putBack: (t: ExecutionContext) => Promise<void>;
}

interface Variant {
  readonly migration?: string;
  readonly verify?: string;
}

async function shop(
  t: ExecutionContext,
  { migration = 'select 1', verify = 'row-counts' }: Variant = {},
): Promise<Shop> {
  const work = await workplace(t);
  const name = await server.database('shop');
  await server.sql(
    `create table shops as select id, 'shop ' || id as name from generate_series(1, 200) id`,
    name,
  );
  await work.file('V001__tier.sql', `alter table shops add column tier text; ${migration};`);
  await work.file(
    'playbook.yml',
    `version: 1
name: shop
blue: \${DATABASE_URL}
green: ${name}_green
migrate: [sql: { directory: . }]
verify: [${verify}]
switch: { targets: [database-rename], long-transactions: { wait: ${LONG}s } }
gate: open
`,
  );
  const before = await dump(server, name);
  const putBack = async (tt: ExecutionContext): Promise<void> => {
    tt.deepEqual(await databases(name, work), [name]);
    tt.deepEqual(await dump(server, name), before);
    await server.sql(`begin; insert into shops values (0, 'written'); rollback`, name);
    await until('no session of the tool', async () => (await sessions(name)).length === 0);
  };
  return { t, work, name, env: { DATABASE_URL: server.url(name) }, putBack };
}

/** A shop's database, its copy, and what is left of copies that were not finished, which have the run's name. */
async function databases(name: string, work?: Workplace): Promise<string[]> {
  const runs = work ? globSync('*', { cwd: join(work.folder, '.cutover/runs') }) : [];
  const rows = await server.sql<{ datname: string }>('select datname from pg_database order by 1');
  return rows
    .map(({ datname }) => datname)
    .filter((each) => each.startsWith(name) || runs.some((run) => each === `cutover_${run}`));
}

/** What the tool's sessions on a shop and its copy, and the program that it started, are doing. */
async function sessions(name: string): Promise<string[]> {
  const rows = await server.sql<{ query: string }>(
    `select query from pg_stat_activity where datname ~ '^${name}' and pid <> pg_backend_pid()
       and backend_type = 'client backend'`,
  );
  return rows.map(({ query }) => query);
}

const active = async (pattern: string): Promise<boolean> => {
  const [row] = await server.sql<{ there: boolean }>(
    `select exists (select from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()
       and query ~ '${pattern}') as there`,
  );
  return row!.there;
};

/** Command lines of everything that runs on this machine. */
const processes = (): string[] =>
  globSync('/proc/[0-9]*/cmdline').map((path) => {
    try {
      return readFileSync(path, 'utf8').replaceAll('\0', ' ');
    } catch {
      return '';
    }
  });

interface Running {
  readonly signal: (name: NodeJS.Signals) => void;
  readonly err: () => string;
  /** Waits until standard error says it. */
  readonly says: (pattern: RegExp) => Promise<void>;
  readonly done: Promise<Outcome>;
}

function start(
  { t, work, env }: Shop,
  args: readonly string[] = ['run', 'playbook.yml'],
  more = {},
): Running {
  const { child, done } = work.start(args, { ...env, ...more });
  t.teardown(() => child.kill('SIGKILL'));
  let err = '';
  child.stderr!.on('data', (chunk: string) => (err += chunk));
  return {
    signal: (name) => void child.kill(name),
    err: () => err,
    says: (pattern) => until(`${pattern} in:\n${err}`, () => pattern.test(err)),
    done,
  };
}

/** A client in the middle of a transaction on blue. */
async function client(name: string): Promise<pg.Client> {
  const held = await server.connect(name);
  await held.query(`begin; insert into shops values (1000, 'open')`);
  return held;
}

/** A transaction that stays open; its end takes it back. */
async function holding(t: ExecutionContext, statement: string): Promise<pg.Client> {
  const locker = await server.connect();
  t.teardown(() => locker.end());
  await locker.query(`begin; ${statement}`);
  return locker;
}

/** Goes on until the copy would be made, and holds it there; `release` lets it come. */
async function atTheClone(subject: Shop): Promise<{ run: Running; release: () => Promise<void> }> {
  // Of all that the run does, only CREATE DATABASE needs to write there.
  const locker = await holding(subject.t, 'lock table pg_shdepend in share mode');
  const run = start(subject);
  await until('the copy is being made', () => active(`^CREATE DATABASE .*${subject.name}`));
  return { run, release: () => locker.end() };
}

const code = { SIGINT: 130, SIGTERM: 143 } as const;

async function interrupted(
  t: ExecutionContext,
  subject: Shop,
  run: Running,
  signal: keyof typeof code,
): Promise<void> {
  const started = Date.now();
  run.signal(signal);
  const outcome = await run.done;
  t.is(outcome.code, code[signal], outcome.err);
  t.true(Date.now() - started < PROMPT_MS, 'it was ended, and not waited for');
  t.regex(outcome.err, new RegExp(`${signal}: the step in flight is ended`));
  t.regex(outcome.err, /accepts connections/);
  await subject.putBack(t);
  const status = await subject.work.cutover(['status']);
  t.regex(status.out, /unwound/);
}

// Locks on the server's catalogue hold up every test there is, hence one after the other.
test.serial('SIGINT in the clone cancels it on the server; a second signal only says so', async (t) => {
  const subject = await shop(t);
  const { run, release } = await atTheClone(subject);
  // First in the queue: what comes after the copy, the opening of blue, waits behind it.
  const opening = holding(t, 'lock table pg_database in share mode');
  await until('the queue', () => active('^begin; lock table pg_database'));
  run.signal('SIGINT');
  await until('it is cancelled', async () => !(await active(`^CREATE DATABASE .*${subject.name}`)));
  run.signal('SIGINT');
  await run.says(/Still putting things back/);
  await (await opening).end();
  await release();
  const { code: exit, err } = await run.done;
  t.is(exit, 130, err);
  await subject.putBack(t);
});

// The server goes on with CREATE DATABASE when its client is gone: abort ends it before it looks for the copy.
test.serial('SIGKILL in the clone: abort puts everything back, the copy that comes late too', async (t) => {
  const subject = await shop(t);
  const { run, release } = await atTheClone(subject);
  run.signal('SIGKILL');
  await run.done;
  await tells(t, subject, 'running', 'clone');
  const aborting = start(subject, ['abort']);
  // The server goes on with what nobody waits for any more.
  await Promise.race([sleep(1500), aborting.done]);
  await release();
  const { code: exit, err } = await aborting.done;
  t.is(exit, 0, err);
  await until('nothing is being made', async () => !(await active('^CREATE DATABASE')));
  await tells(t, subject, 'unwound', 'clone', 'undone');
  await subject.putBack(t);
});

test.serial(
  'a signal in the switch waits until it has settled: green is live, and the run is done',
  async (t) => {
    const subject = await shop(t, { verify: 'command: { run: "until [ -e go ]; do sleep 0.05; done" }' });
    const run = start(subject);
    await run.says(/verify: /);
    const locker = await server.connect();
    // The marks are comments on databases: with this nobody can write one.
    await locker.query('begin; lock table pg_shdescription in share mode');
    await subject.work.file('go', '');
    await until('the switch', () => active('^COMMENT ON DATABASE'));
    run.signal('SIGTERM');
    await run.says(/SIGTERM: /);
    await sleep(300);
    t.true(await active('^COMMENT ON DATABASE'), 'the switch is not cancelled');
    await locker.query('commit');
    const outcome = await run.done;
    t.is(outcome.code, 0, outcome.err);
    t.deepEqual(await databases(subject.name), [subject.name, `${subject.name}_previous`]);
    await server.sql('select tier from shops', subject.name);
  },
);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} while the fence waits for a transaction: it goes on, and so does blue`, async (t) => {
    const subject = await shop(t);
    const held = await client(subject.name);
    const run = start(subject);
    await run.says(/fence: /);
    await until('blue is closed', () =>
      server.connect(subject.name).then(
        () => false,
        () => true,
      ),
    );
    run.signal(signal);
    const outcome = await run.done;
    t.is(outcome.code, code[signal], outcome.err);
    await held.query('rollback');
    await held.end();
    await subject.putBack(t);
  });

  test(`${signal} in a check's command ends everything that it started`, async (t) => {
    const mark = `${LONG}.${process.pid}${code[signal]}${signal.length}`;
    const subject = await shop(t, { verify: `command: { run: "sleep ${mark} & sleep ${mark}; wait" }` });
    const run = start(subject);
    const left = (): string[] => processes().filter((line) => line.startsWith(`sleep ${mark}`));
    await until('the command', () => left().length === 2);
    await interrupted(t, subject, run, signal);
    t.deepEqual(left(), []);
  });
}

test('a run that asks nobody goes on when its terminal goes away', async (t) => {
  const subject = await shop(t, { migration: 'select pg_sleep(2) as in_hangup' });
  const run = start(subject);
  await until('the migration', () => active('in_hangup'));
  run.signal('SIGHUP');
  const outcome = await run.done;
  t.is(outcome.code, 0, outcome.err);
  t.regex(outcome.err, /The terminal is gone; the work goes on without it/);
  t.regex((await subject.work.cutover(['status'])).out, /completed/);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} in a migration cancels it on the server`, async (t) => {
    const subject = await shop(t, { migration: `select pg_sleep(${LONG}) as in_${signal}` });
    const run = start(subject);
    await until('the migration', () => active(`in_${signal}`));
    await interrupted(t, subject, run, signal);
    t.false(await active(`in_${signal}`));
  });
}

test('SIGTERM in a check of SQL cancels it on the server', async (t) => {
  const subject = await shop(t, {
    verify: `sql: { query: "select count(*) as in_check from pg_sleep(${LONG})", equals: 1 }`,
  });
  const run = start(subject);
  await until('the check', () => active('in_check'));
  await interrupted(t, subject, run, 'SIGTERM');
  t.false(await active('in_check'));
});

test('an error that nobody caught puts everything back instead of leaving blue closed', async (t) => {
  const subject = await shop(t, { migration: `select pg_sleep(${LONG}) as in_uncaught` });
  const planted = await subject.work.file(
    'planted.mjs',
    `process.on('SIGUSR2', () => { throw new Error('planted') })`,
  );
  const run = start(subject, undefined, { NODE_OPTIONS: `--import ${planted}` });
  await until('the migration', () => active('in_uncaught'));
  run.signal('SIGUSR2');
  const outcome = await run.done;
  t.is(outcome.code, 4, outcome.err);
  t.regex(outcome.err, /planted/);
  await subject.putBack(t);
});

/** What `status` says of the run, in words and as data. */
async function tells(
  t: ExecutionContext,
  { work }: Shop,
  phase: string,
  step: string,
  stepPhase = 'running',
): Promise<void> {
  const words = await work.cutover(['status']);
  t.is(words.code, 0, words.err);
  t.regex(words.out, new RegExp(`: ${phase}`));
  if (phase === 'running') t.regex(words.out, /cutover abort/);
  const state = JSON.parse((await work.cutover(['status', '--json'])).out) as RunState;
  t.is(state.phase, phase as never);
  t.is(state.live, 'blue');
  t.true(state.steps[step]?.phase.startsWith(stepPhase), JSON.stringify(state.steps));
}

async function killed(t: ExecutionContext, subject: Shop, run: Running, step: string): Promise<void> {
  run.signal('SIGKILL');
  t.is((await run.done).signal, 'SIGKILL');
  await tells(t, subject, 'running', step);
  const aborted = await subject.work.cutover(['abort'], subject.env);
  t.is(aborted.code, 0, aborted.err);
  t.regex(aborted.err, /is unwound/);
  await tells(t, subject, 'unwound', step, 'undone');
  await subject.putBack(t);
  const again = await subject.work.cutover(['abort'], subject.env);
  t.is(again.code, 2, again.err);
}

test('SIGKILL in the fence: abort opens blue again', async (t) => {
  const subject = await shop(t);
  const held = await client(subject.name);
  const run = start(subject);
  await run.says(/fence: /);
  await until('blue is closed', () =>
    server.connect(subject.name).then(
      () => false,
      () => true,
    ),
  );
  run.signal('SIGKILL');
  await run.done;
  await held.end();
  await killed(t, subject, run, 'fence');
});

test('SIGKILL in a migration: abort ends it on the server', async (t) => {
  const subject = await shop(t, { migration: `select pg_sleep(${LONG}) as in_killed_up` });
  const run = start(subject);
  await until('the migration', () => active('in_killed_up'));
  await killed(t, subject, run, 'migrate-1-sql');
  t.false(await active('in_killed_up'));
});

test('SIGKILL in a check: abort puts everything back', async (t) => {
  const subject = await shop(t, {
    verify: `sql: { query: "select count(*) as in_killed_check from pg_sleep(3)", equals: 1 }`,
  });
  const run = start(subject);
  await until('the check', () => active('in_killed_check'));
  await killed(t, subject, run, 'verify');
});

test('a second run is refused while the first lives, and told who it is', async (t) => {
  const subject = await shop(t, { migration: `select pg_sleep(${LONG}) as in_first` });
  const first = start(subject);
  await until('the migration', () => active('in_first'));
  const [, id] = /run (\d{8}-\d{6}-\w{6})/.exec(first.err())!;
  for (const args of [
    ['run', 'playbook.yml'],
    ['--state', 'elsewhere', 'run', 'playbook.yml'],
  ]) {
    const second = await subject.work.cutover(args, subject.env);
    t.is(second.code, 3, second.err);
    t.regex(second.err, new RegExp(`another run works on this database: cutover ${id}`));
  }
  await interrupted(t, subject, first, 'SIGTERM');
});
