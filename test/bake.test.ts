import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { application, baking, bakeScene, isGreen, stateOf } from './helpers/bake.ts';
import { eventsOf } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

const test = ava.serial;
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

const scene = (t: ExecutionContext, bake: string, more = '') => bakeScene(t, server, bake, more);

test('a bake that goes well: looked at again and again, and once more in the end', async (t) => {
  // Three times, but never three times in a row.
  const { url } = await application(t, [200, 500, 500, 200, 500, 200]);
  const there = await scene(
    t,
    `{ for: 4s, every: 500ms, checks: [http: { url: "${url}" }, sql: { query: select count(*) from shops, equals: 1 }] }`,
  );
  const ran = await there.cutover(['run', 'playbook.yml']);
  t.is(ran.code, 0, ran.err);
  t.true(await isGreen(server, there.name));
  const { phase, steps } = await stateOf(there);
  t.is(phase, 'completed');
  t.true(steps['bake']!.output!.rounds >= 3, JSON.stringify(steps['bake']));
  const plan = await there.cutover(['plan', 'playbook.yml']);
  t.regex(plan.out, /Look after .*_green for 4\.0 s/);
  t.regex(plan.out, /a check that fails 3 times in a row ends the run with green live/);
});

test('a bake goes on as long as its last look found something', async (t) => {
  const app = await application(t, [500, 500, 200]);
  const there = await scene(
    t,
    `{ for: 100ms, every: 500ms, failures: 3, checks: [http: { url: "${app.url}" }] }`,
  );
  const ran = await there.cutover(['run', 'playbook.yml']);
  t.is(ran.code, 0, ran.err);
  t.is(app.looks, 3);
});

test('hold: green stays live, a person is told, and can go back', async (t) => {
  const { url } = await application(t, [200, 503]);
  const there = await scene(t, `{ for: 10m, every: 500ms, failures: 2, checks: [http: { url: "${url}" }] }`);
  const ran = await there.cutover(['run', 'playbook.yml']);
  t.is(ran.code, 7, ran.err);
  t.regex(ran.err, /green is not well for 2 looks in a row: http: .*answers 503 instead of 200/);
  t.regex(ran.err, /green: database \S+ accepts connections/);
  t.regex(ran.err, /cutover swap-back/);
  t.true(await isGreen(server, there.name));
  const { phase, exit, steps } = await stateOf(there);
  t.deepEqual([phase, exit, steps['bake']!.phase], ['completed', 7, 'failed']);
  const back = await there.cutover(['swap-back', '--yes']);
  t.is(back.code, 0, back.err);
  t.false(await isGreen(server, there.name));
});

test('swap-back: blue is live again by itself, exit 6, unless a row would be lost', async (t) => {
  const { url } = await application(t, [500]);
  const bake = `{ for: 10m, every: 500ms, failures: 1, checks: [http: { url: "${url}" }], on-failure: swap-back }`;
  const there = await scene(t, bake);
  const ran = await there.cutover(['run', 'playbook.yml']);
  t.is(ran.code, 6, ran.err);
  t.regex(ran.err, /swapped back in .*: \S+ is live again, and nothing is lost/);
  t.false(await isGreen(server, there.name));
  const { phase, exit } = await stateOf(there);
  t.deepEqual([phase, exit], ['swapped back', 6]);

  const written = await scene(t, bake, 'hooks: [{ after: switch, run: sleep 3 }]\n');
  const { done } = written.work.start(['run', 'playbook.yml'], written.env);
  // Clients come as soon as they may.
  await until('somebody to write', async () => {
    if (!(await isGreen(server, written.name).catch(() => false))) return false;
    await server.sql('insert into made values (1)', written.name);
    return true;
  });
  const kept = await done;
  t.is(kept.code, 7, kept.err);
  t.regex(kept.err, /it was not swapped back: a swap back would lose what was written since the switch/);
  t.regex(kept.err, /1 row inserted or updated in public\.made/);
  t.true(await isGreen(server, written.name));
  t.is((await stateOf(written)).phase, 'completed');
});

test('a signal ends a bake early, and green stays live; abort from another terminal swaps back', async (t) => {
  const { url } = await application(t, [200]);
  const bake = `{ for: 10m, every: 500ms, checks: [http: { url: "${url}" }] }`;
  const cut = await scene(t, bake);
  const first = cut.work.start(['run', 'playbook.yml'], cut.env);
  await baking(cut);
  first.child.kill('SIGTERM');
  const ended = await first.done;
  t.is(ended.code, 143, ended.err);
  t.regex(ended.err, /nobody looks after green any more: interrupted by SIGTERM/);
  t.true(await isGreen(server, cut.name));
  t.is((await stateOf(cut)).phase, 'completed');

  const aborted = await scene(t, bake);
  const second = aborted.work.start(['run', 'playbook.yml'], aborted.env);
  await baking(aborted);
  await aborted.cutover(['abort']);
  const back = await second.done;
  t.is(back.code, 6, back.err);
  t.false(await isGreen(server, aborted.name));
});

test('killed in a bake: green is live, and resume bakes anew', async (t) => {
  const app = await application(t, [200]);
  const there = await scene(t, `{ for: 3s, every: 500ms, checks: [http: { url: "${app.url}" }] }`);
  const { child, done } = there.work.start(['run', 'playbook.yml'], there.env);
  await until('a look', () => Promise.resolve(app.looks > 0));
  child.kill('SIGKILL');
  await done;
  t.true(await isGreen(server, there.name));
  const before = app.looks;
  const resumed = await there.cutover(['resume', '--yes']);
  t.is(resumed.code, 0, resumed.err);
  t.true(app.looks >= before + 2);
  t.is((await stateOf(there)).phase, 'completed');
});

test('activity: too few sessions, and too many transactions that are rolled back', async (t) => {
  const alone = await scene(
    t,
    '{ for: 10m, every: 500ms, failures: 2, checks: [activity: { sessions: 1 }] }',
  );
  const nobody = await alone.cutover(['run', 'playbook.yml']);
  t.is(nobody.code, 7, nobody.err);
  t.regex(nobody.err, /activity: 0 sessions of clients, and not 1/);

  const there = await scene(
    t,
    '{ for: 10m, every: 2s, failures: 1, checks: [activity: { rollbacks: 20% }] }',
  );
  const { done } = there.work.start(['run', 'playbook.yml'], there.env);
  await until('green', () => isGreen(server, there.name).catch(() => false));
  const client = await server.connect(there.name);
  client.on('error', () => undefined);
  const over = new AbortController();
  const failing = (async () => {
    while (!over.signal.aborted)
      await client.query('begin; update shops set id = id; rollback').catch(() => sleep(50));
  })();
  const rolled = await done;
  over.abort();
  await failing;
  t.is(rolled.code, 7, rolled.err);
  t.regex(rolled.err, /activity: [\d,]+ of [\d,]+ transactions rolled back, more than 20 %/);
  await client.end().catch(() => undefined);
});

test('a time that the bake does not fit into is too short from the beginning', async (t) => {
  const { url } = await application(t, [200]);
  const there = await scene(t, `{ for: 1h, checks: [http: { url: "${url}" }] }`);
  const soon = new Date(Date.now() + 30 * 60_000).toISOString();
  const ran = await there.cutover(['run', 'playbook.yml', '--until', soon]);
  t.is(ran.code, 3, ran.err);
  t.regex(ran.err, /the switch with its bake needs 1 h .*: it is too late to begin/);
});

test('mistakes in a bake are named with their places', async (t) => {
  const there = await scene(
    t,
    '{ for: 1m, every: 1ms, checks: [sql: { query: select 1, same-on-both: true }, checksums, activity: {}] }',
  );
  const checked = await there.cutover(['validate', 'playbook.yml']);
  t.is(checked.code, 2);
  t.regex(checked.err, /bake\.every: must be at least 500ms/);
  t.regex(checked.err, /bake\.checks\[0\]: asks blue, and in a bake there is only green/);
  t.regex(checked.err, /unknown check "checksums"/);
  t.regex(checked.err, /needs "rollbacks" or "sessions"/);
});

test('the journal of a run that swapped back by itself says so', async (t) => {
  const { url } = await application(t, [500]);
  const there = await scene(
    t,
    `{ for: 1m, every: 500ms, failures: 1, checks: [http: { url: "${url}" }], on-failure: swap-back }`,
  );
  t.is((await there.cutover(['run', 'playbook.yml'])).code, 6);
  const events = await eventsOf(there.work);
  t.deepEqual(
    events.slice(-7).map(({ type }) => type),
    [
      'step-failed',
      'run-finished',
      'swap-back-started',
      'swap-back-counted',
      'ownership-moved',
      'swap-back-finished',
    ].toSpliced(0, 0, 'step-started'),
  );
});

/** As if the process had died before it could say how the run ended. */
async function dropLastEvent(folder: string, change = (text: string): string => text): Promise<void> {
  const runs = join(folder, '.cutover/runs');
  const journal = join(runs, (await readdir(runs))[0]!, 'journal.jsonl');
  const lines = (await readFile(journal, 'utf8')).trimEnd().split('\n');
  if (!lines.at(-1)!.includes('"run-finished"')) throw new Error('the run is not over');
  await writeFile(journal, change(`${lines.slice(0, -1).join('\n')}\n`));
}

for (const [then, code, phase] of [
  ['hold', 7, 'completed'],
  ['swap-back', 6, 'swapped back'],
] as const)
  test(`died after a bake had failed, before anything followed: resume does what was to follow (${then})`, async (t) => {
    const { url } = await application(t, [500]);
    const there = await scene(t, `{ for: 1m, every: 500ms, failures: 1, checks: [http: { url: "${url}" }] }`);
    t.is((await there.cutover(['run', 'playbook.yml'])).code, 7);
    await dropLastEvent(there.work.folder, (text) =>
      text.replaceAll('"onFailure":"hold"', `"onFailure":"${then}"`),
    );
    const resumed = await there.cutover(['resume', '--yes']);
    t.is(resumed.code, code, resumed.err);
    t.is((await stateOf(there)).phase, phase);
    t.is(await isGreen(server, there.name), then === 'hold');
  });

test('died after a bake had been cut short: resume leads nobody back from a green that is well', async (t) => {
  const { url } = await application(t, [200]);
  const there = await scene(
    t,
    `{ for: 10m, every: 500ms, checks: [http: { url: "${url}" }], on-failure: swap-back }`,
  );
  const { child, done } = there.work.start(['run', 'playbook.yml'], there.env);
  await baking(there);
  child.kill('SIGTERM');
  t.is((await done).code, 143);
  await dropLastEvent(there.work.folder);
  const resumed = await there.cutover(['resume', '--yes']);
  t.is(resumed.code, 7, resumed.err);
  t.is((await stateOf(there)).phase, 'completed');
  t.true(await isGreen(server, there.name));
});
