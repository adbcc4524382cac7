import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { shop as makeShop, type Shop } from './helpers/shop.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer(undefined, { max_prepared_transactions: '5' });
});
test.after.always(() => server.stop());

const shop = (t: ExecutionContext, lines: string): Promise<Shop> => makeShop(t, server, lines);
const logOf = ({ work }: Shop): string[] => {
  const file = join(work.folder, 'log');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
};

test('hooks run around their phases, in their order, with what they need to know', async (t) => {
  const subject = await shop(
    t,
    `gate: open
migrate: [sql: { directory: . }, command: { run: "echo migrate >> log" }]
hooks:
  - { after: keep, run: "echo last >> log" }
  - { before: migrate, run: "echo before migrate >> log" }
  - { after: migrate, run: "echo after migrate >> log" }
  - { before: preflight, run: "echo $CUTOVER_NAME $CUTOVER_WHEN $CUTOVER_PHASE $CUTOVER_LIVE $CUTOVER_GREEN >> log" }
  - { before: preflight, run: "echo second >> log" }
  - { after: switch, run: "echo $CUTOVER_LIVE $CUTOVER_PREVIOUS \${CUTOVER_UNDO:-no} $CUTOVER_RUN >> log" }`,
  );
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 0, ran.err);
  const { run } = await subject.status();
  t.deepEqual(logOf(subject), [
    `shop before preflight blue ${subject.name}_green`,
    'second',
    'before migrate',
    'migrate',
    'after migrate',
    `green ${subject.name}_previous no ${run}`,
    'last',
  ]);
});

test('a hook before the fence that fails: nothing is touched, and what hooks did is taken back', async (t) => {
  const subject = await shop(
    t,
    `gate: open
hooks:
  - { before: fence, run: "echo one >> log", undo: "echo undo one $CUTOVER_UNDO >> log" }
  - { before: fence, run: "echo two >> log; echo what it says; exit 9", undo: "echo undo two >> log" }
  - { before: fence, run: "echo three >> log", undo: "echo undo three >> log" }`,
  );
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 3, ran.err);
  t.regex(ran.err, /the hook before fence stops the run[^]*failed with exit code 9/);
  t.regex(ran.err, /playbook\.yml:9:5/);
  t.regex(ran.err, /what it says/);
  t.deepEqual(logOf(subject), ['one', 'two', 'undo two', 'undo one 1']);
  t.is((await subject.status()).phase, 'refused');
  await subject.assertUntouched(t);
});

test('a hook before the switch that fails: everything is put back', async (t) => {
  const subject = await shop(
    t,
    `gate: open
hooks:
  - { after: clone, run: "echo cloned >> log", undo: "echo undo cloned >> log" }
  - { before: switch, run: "echo no >> log; exit 1", undo: "echo undo no >> log" }`,
  );
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 4, ran.err);
  t.deepEqual(logOf(subject), ['cloned', 'no', 'undo no', 'undo cloned']);
  await subject.assertUntouched(t);
});

test('a hook that takes too long is ended with all that it started', async (t) => {
  const mark = `61.${process.pid}`;
  const subject = await shop(
    t,
    `gate: open
hooks:
  - { before: fence, run: "sleep ${mark} & sleep ${mark}; wait", timeout: 500ms }`,
  );
  const started = Date.now();
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 3, ran.err);
  t.true(Date.now() - started < 20_000);
  t.regex(ran.err, /was ended after 500 ms/);
  const processes = await listProcesses();
  t.false(processes.some((line) => line.includes(`sleep\0${mark}`)));
});

test('a hook that leaves a daemon behind is done when it has ended itself', async (t) => {
  const mark = `62.${process.pid}`;
  const subject = await shop(
    t,
    `gate: open
hooks:
  - { before: fence, run: "setsid sleep ${mark} & echo started", timeout: 50s }`,
  );
  const started = Date.now();
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 0, ran.err);
  t.true(Date.now() - started < 30_000);
  // A session of its own is its own business: it was made to go on.
  const isThere = async (): Promise<boolean> =>
    (await listProcesses()).some((line) => line.startsWith(`sleep\0${mark}`));
  t.true(await isThere());
  // And it may be the team's application: no later command about the run ends it.
  const back = await subject.work.cutover(['swap-back', '--yes'], subject.env);
  t.is(back.code, 0, back.err);
  t.true(await isThere());
});

async function listProcesses(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
}

test('a hook afterwards that fails is a warning without secrets, and the run is completed', async (t) => {
  const subject = await shop(
    t,
    `gate: open
hooks:
  - { after: switch, run: "echo it went to $DATABASE_URL; exit 3" }`,
  );
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 0, ran.err);
  t.regex(ran.err, /! hook: the hook after switch .* failed with exit code 3[^]*it went to postgresql:/);
  t.is((await subject.status()).phase, 'completed');
  const stored = JSON.stringify(await subject.events());
  const { password } = new URL(server.url());
  t.true(stored.includes('it went to postgresql:'));
  t.false(stored.includes(password) || ran.err.includes(password));
});

test('a hook before keep cannot stop what is over: it is a warning', async (t) => {
  const subject = await shop(t, 'gate: open\nhooks: [{ before: keep, run: "exit 8" }]');
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 0, ran.err);
  t.regex(ran.err, /! hook: the hook before keep .* failed with exit code 8/);
  t.is((await subject.status()).phase, 'completed');
});

test('an undo that fails: stuck, named, and abort ends it when the cause is gone', async (t) => {
  const subject = await shop(
    t,
    `gate: open
hooks:
  - { before: fence, run: "true", undo: "test -e mended" }
  - { before: switch, run: "exit 1" }`,
  );
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 7, ran.err);
  t.regex(
    ran.err,
    /hook-1-before-fence: the undo of the hook before fence test -e mended failed with exit code 1/,
  );
  // What could be put back is: blue is open.
  await subject.assertUntouched(t);
  t.is((await subject.status()).phase, 'stuck');
  const early = await subject.work.cutover(['abort'], subject.env);
  t.is(early.code, 7, early.err);
  await subject.work.file('mended', '');
  const aborted = await subject.work.cutover(['abort'], subject.env);
  t.is(aborted.code, 0, aborted.err);
  t.is((await subject.status()).phase, 'unwound');
  await subject.assertUntouched(t);
});

test('a copy that cannot be dropped: stuck, and abort drops it when the cause is gone', async (t) => {
  const subject = await shop(
    t,
    `gate: open\nmigrate: [command: { run: "touch migrating; while ! test -e go; do sleep 0.05; done; exit 1" }]`,
  );
  const { done } = subject.work.start(['run', 'playbook.yml'], subject.env);
  while (!existsSync(join(subject.work.folder, 'migrating'))) await sleep(50);
  // A database with a prepared transaction cannot be dropped, by whomever.
  const green = `${subject.name}_green`;
  await server.sql(`begin; create table held (id int); prepare transaction '${green}'`, green);
  await subject.work.file('go', '');
  const ran = await done;
  t.is(ran.code, 7, ran.err);
  t.regex(ran.err, /clone: .*prepared transaction/);
  t.regex(ran.err, /cutover abort/);
  await server.sql(`insert into shops values (51, 'blue takes writes')`, subject.name);
  await server.sql(`alter database ${green} allow_connections true`);
  await server.sql(`rollback prepared '${green}'`, green);
  const aborted = await subject.work.cutover(['abort'], subject.env);
  t.is(aborted.code, 0, aborted.err);
  const names = await server.sql(`select datname from pg_database where datname like '${subject.name}%'`);
  t.is(names.length, 1);
});

const mistakes: readonly [string, string, RegExp][] = [
  [
    'both before and after',
    '- { before: fence, after: fence, run: x }',
    /exactly one of "before" and "after"/,
  ],
  ['neither', '- { run: x }', /exactly one of "before" and "after"/],
  ['an unknown phase', '- { before: fense, run: x }', /playbook\.yml:\d+:\d+[^]*fence/],
  ['a phase that is not there', '- { before: gate, run: x }', /there is no gate in this run/],
  ['no line', '- { before: fence }', /run/],
  ['a password', '- { before: fence, run: "psql postgres://me:sesame-hook@h/d" }', /password/],
  ['no time', '- { before: fence, run: x, timeout: 0s }', /more than nothing/],
  ['too much time', '- { before: fence, run: x, timeout: 30d }', /at most 7d/],
];
for (const [what, hook, message] of mistakes) {
  test(`a hook with ${what} is a mistake of the playbook`, async (t) => {
    const subject = await shop(t, `gate: open\nhooks:\n  ${hook}`);
    const { code, err } = await subject.work.cutover(['validate', 'playbook.yml'], subject.env);
    t.is(code, 2, err);
    t.regex(err, message);
    t.false(err.includes('sesame-hook'));
  });
}
