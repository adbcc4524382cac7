import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { shop as makeShop, type Shop } from './helpers/shop.ts';
import { until } from './helpers/until.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server.stop());

const shop = (t: ExecutionContext, lines: string): Promise<Shop> => makeShop(t, server, lines);

const hasEvent = (subject: Shop, type: string) => async (): Promise<boolean> =>
  existsSync(join(subject.work.folder, '.cutover')) &&
  (await subject.events().catch(() => [])).some((event) => event.type === type);

const linesOf = (out: string): unknown[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

const GATE = 'gate: { timeout: 60s, then: stop }';

test('the gate is answered from another terminal, and watched from a third', async (t) => {
  const subject = await shop(t, GATE);
  const running = subject.work.start(['run', 'playbook.yml'], subject.env);
  await until('the gate', hasEvent(subject, 'gate-opened'));
  const watching = subject.work.start(['status', '--watch']);
  const { run, writer } = await subject.status();
  t.regex(writer!, new RegExp(`^pid ${running.child.pid} on `));
  t.regex((await subject.work.cutover(['status'])).out, /at work: pid/);
  const wrong = await subject.work.cutover(['approve', run, '--gate', 'another']);
  t.is(wrong.code, 3, wrong.err);
  t.regex(wrong.err, /waits at gate, not at another/);
  const approved = await subject.work.cutover(['approve', run, '--gate', 'gate']);
  t.is(approved.code, 0, approved.err);
  t.regex(approved.err, /answered with yes by .+@/);
  const ran = await running.done;
  t.is(ran.code, 0, ran.err);
  t.regex(ran.err, /To answer: cutover approve/);
  const watched = await watching.done;
  t.is(watched.code, 0, watched.err);
  t.regex(
    watched.out,
    /gate: asks: Switch now\?[^]*answered with yes by[^]*ownership moves from blue to green[^]*completed/,
  );
  const late = await subject.work.cutover(['reject', run]);
  t.is(late.code, 3, late.err);
  t.regex(late.err, /no gate of run .* waits for an answer/);
  t.deepEqual(readdirSync(join(subject.work.folder, '.cutover/runs', run, 'requests')), []);
});

test('the gate is answered with no from another terminal', async (t) => {
  const subject = await shop(t, GATE);
  const running = subject.work.start(['run', 'playbook.yml'], subject.env);
  await until('the gate', hasEvent(subject, 'gate-opened'));
  const rejected = await subject.work.cutover(['reject']);
  t.is(rejected.code, 0, rejected.err);
  const ran = await running.done;
  t.is(ran.code, 4, ran.err);
  t.regex(ran.err, /answered with no by/);
  await subject.assertUntouched(t);
});

for (const [then, code] of [
  ['stop', 4],
  ['go', 0],
] as const) {
  test(`a gate that nobody answers within its time: ${then}`, async (t) => {
    const subject = await shop(t, `gate: { timeout: 700ms, then: ${then} }`);
    const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
    t.is(ran.code, code, ran.err);
    t.regex(ran.err, /by the time limit of 700 ms/);
    if (code === 4) await subject.assertUntouched(t);
  });
}

test('a gate without a time limit is refused where nobody can be asked', async (t) => {
  const subject = await shop(t, 'gate: ask');
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 3, ran.err);
  t.regex(ran.err, /there is no terminal to ask at[^]*time limit/);
});

test('abort from another terminal: the process at work puts everything back, and both say so', async (t) => {
  const subject = await shop(t, `gate: open\nmigrate: [command: { run: "touch migrating; sleep 60" }]`);
  const running = subject.work.start(['run', 'playbook.yml'], subject.env);
  await until('the migration', () => existsSync(join(subject.work.folder, 'migrating')));
  const aborted = await subject.work.cutover(['abort'], subject.env);
  t.is(aborted.code, 0, aborted.err);
  t.regex(aborted.err, /Asked pid \d+ on .* to put everything back[^]*unwound/);
  const ran = await running.done;
  t.is(ran.code, 4, ran.err);
  t.regex(ran.err, /Abort asked by .+@[^]*aborted by/);
  await subject.assertUntouched(t);
});

test('abort of a process that dies meanwhile is done here', async (t) => {
  const subject = await shop(t, `gate: open\nmigrate: [command: { run: "touch migrating; sleep 60" }]`);
  const running = subject.work.start(['run', 'playbook.yml'], subject.env);
  await until('the migration', () => existsSync(join(subject.work.folder, 'migrating')));
  running.child.kill('SIGSTOP');
  const aborting = subject.work.start(['abort'], subject.env);
  await sleep(1500);
  running.child.kill('SIGKILL');
  const aborted = await aborting.done;
  t.is(aborted.code, 0, aborted.err);
  await running.done;
  t.is((await subject.status()).phase, 'unwound');
  await subject.assertUntouched(t);
});

test('an abort that is interrupted before it was heard is taken back, and the run goes on', async (t) => {
  const subject = await shop(
    t,
    `gate: open\nmigrate: [command: { run: "touch migrating; while ! test -e go; do sleep 0.05; done" }]`,
  );
  const running = subject.work.start(['run', 'playbook.yml'], subject.env);
  t.teardown(() => void running.child.kill('SIGKILL'));
  await until('the migration', () => existsSync(join(subject.work.folder, 'migrating')));
  running.child.kill('SIGSTOP');
  const { run } = await subject.status();
  const requests = join(subject.work.folder, '.cutover/runs', run, 'requests');
  const aborting = subject.work.start(['abort'], subject.env);
  await until('the request', () => existsSync(requests) && readdirSync(requests).length === 1);
  aborting.child.kill('SIGINT');
  const aborted = await aborting.done;
  t.is(aborted.code, 130, aborted.err);
  t.regex(aborted.err, /the request is taken back/);
  t.deepEqual(readdirSync(requests), []);
  await subject.work.file('go', '');
  running.child.kill('SIGCONT');
  const ran = await running.done;
  t.is(ran.code, 0, ran.err);
});

test('resume and status --watch give the journal’s events as JSON lines', async (t) => {
  const subject = await shop(t, GATE);
  const running = subject.work.start(['run', 'playbook.yml'], subject.env);
  await until('the gate', hasEvent(subject, 'gate-opened'));
  running.child.kill('SIGKILL');
  await running.done;
  const died = (await subject.events()).length;
  const resumed = await subject.work.cutover(['resume', '--yes', '--json'], subject.env);
  t.is(resumed.code, 0, resumed.err);
  const events = await subject.events();
  t.deepEqual(linesOf(resumed.out), events.slice(died));
  const watched = await subject.work.cutover(['status', '--watch', '--json']);
  t.is(watched.code, 0, watched.err);
  t.deepEqual(linesOf(watched.out), events);
});

test('resume is refused while the process lives, and told who it is; so is approve when it is gone', async (t) => {
  const subject = await shop(t, GATE);
  const running = subject.work.start(['run', 'playbook.yml'], subject.env);
  await until('the gate', hasEvent(subject, 'gate-opened'));
  const refused = await subject.work.cutover(['resume', '--yes'], subject.env);
  t.is(refused.code, 3, refused.err);
  t.regex(refused.err, new RegExp(`another process works on run .*: pid ${running.child.pid} `));
  running.child.kill('SIGKILL');
  await running.done;
  const unheard = await subject.work.cutover(['approve'], subject.env);
  t.is(unheard.code, 3, unheard.err);
  t.regex(unheard.err, /no process works on run .*: nobody would hear[^]*cutover resume/);
  t.regex((await subject.work.cutover(['status'])).out, /no process works on it any more/);
  const resumed = await subject.work.cutover(['resume', '--yes'], subject.env);
  t.is(resumed.code, 0, resumed.err);
  t.regex(
    resumed.err,
    /resumed by .* from gate\n\s+both sides are closed, as they were when they were verified/,
  );
  t.is((await subject.status()).phase, 'completed');
});

test('two operators at once: one runs, and the other is told who; blue is switched once', async (t) => {
  for (let round = 0; round < 4; round += 1) {
    const subject = await shop(t, 'gate: open\nmigrate: [sql: { directory: . }]');
    const both = [0, 1].map(() => subject.work.start(['run', 'playbook.yml'], subject.env));
    const ended = await Promise.all(both.map(({ done }) => done));
    const codes = ended.map(({ code }) => code).toSorted((a, b) => Number(a) - Number(b));
    t.deepEqual(codes, [0, 3], ended.map(({ err }) => err).join('\n'));
    const loser = ended.find(({ code }) => code === 3)!;
    t.regex(loser.err, /another run works on this database: cutover \d{8}-\d{6}-\w+ from /);
    t.is((await subject.status()).phase, 'completed');
  }
});
