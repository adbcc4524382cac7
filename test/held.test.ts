import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fold } from '../src/journal/fold.ts';
import { eventsOf, type Workplace } from './helpers/cli.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { appears } from './helpers/until.ts';

const { test, title, server, scene, leftovers } = liveSuite();

const phaseOf = async (work: Workplace): Promise<string> => fold(await eventsOf(work)).phase;

test(title('a run is prepared, clients write on, and goes on hours later with every row'), async (t) => {
  const { ledger, work, env, blue, green } = await scene(t, {
    head: 'sync: logical\nnotify: [command: { run: "echo $CUTOVER_EVENT $CUTOVER_EXIT >> told" }]',
  });
  ledger.start();
  const prepared = await work.cutover(['run', 'playbook.yml', '--prepare'], env);
  t.is(prepared.code, 0, prepared.err);
  t.regex(prepared.err, /held since .*everything but the switch is done/);
  t.is(await phaseOf(work), 'held');
  const status = await work.cutover(['status'], env);
  t.regex(status.out, /live: blue/);
  t.regex(status.out, /clients go on writing to shop_\w+, and shop_\w+_green follows/);
  t.regex(status.out, /green is behind by/);
  t.regex(status.out, /to go on: cutover resume \S+; to put everything back: cutover abort/);
  // Somebody forgets about it.
  const second = await work.cutover(['run', 'playbook.yml'], env);
  t.is(second.code, 3, second.err);
  t.regex(second.err, /blue is followed by run \S+, which has not finished/);
  const checked = await work.cutover(['verify', 'playbook.yml'], env);
  t.is(checked.code, 0, checked.err);
  const before = ledger.acknowledged;
  const resumed = await work.cutover(['resume', '--yes'], env);
  t.is(resumed.code, 0, resumed.err);
  const { errors, acknowledged } = await ledger.stop();
  t.deepEqual(errors, []);
  t.true(before > 100 && acknowledged > before, `${before} ${acknowledged}`);
  t.deepEqual(await ledger.problems(server(), green.name), []);
  t.is(
    await readFile(join(work.folder, 'told'), 'utf8'),
    'started\nheld 0\nstarted\nfailed 3\nstarted\nswitched 0\n',
  );
  // What was verified before was verified once more: green had gone on following.
  t.regex(resumed.err, /verify: done in/);
  const back = await work.cutover(['swap-back', '--yes'], env);
  t.is(back.code, 0, back.err);
  t.deepEqual(await ledger.problems(server(), blue.name), []);
});

const GUARDED = [
  'sync: logical',
  'verify: [checksums, sql: { query: select count(*) from missing, equals: 1 }]',
].join('\n');

test(
  title('what verification finds holds the run if the playbook says so, and is looked at again'),
  async (t) => {
    const { ledger, work, env, blue, green } = await scene(t, {
      head: `${GUARDED}\non-failure: { verify: hold }`,
      sql: 'create table missing (id int primary key);',
    });
    ledger.start();
    const ran = await work.cutover(['run', 'playbook.yml'], env);
    t.is(ran.code, 8, ran.err);
    t.regex(ran.err, /verification found 1 problem/);
    t.regex(ran.err, /cutover resume/);
    t.is(await phaseOf(work), 'held');
    // Green follows, and is there to be looked at.
    await server().sql('insert into missing values (1)', blue.name);
    const again = await work.cutover(['resume', '--yes'], env);
    t.is(again.code, 0, again.err);
    const { errors } = await ledger.stop();
    t.deepEqual(errors, []);
    t.deepEqual(await ledger.problems(server(), green.name), []);
  },
);

test(title('a run that is held fails once more, is held once more, and is put back by abort'), async (t) => {
  const { ledger, work, env, blue } = await scene(t, {
    head: `${GUARDED}\non-failure: { verify: hold }`,
    sql: 'create table missing (id int primary key);',
  });
  ledger.start();
  t.is((await work.cutover(['run', 'playbook.yml'], env)).code, 8);
  const again = await work.cutover(['resume', '--yes'], env);
  t.is(again.code, 8, again.err);
  const aborted = await work.cutover(['abort'], env);
  t.is(aborted.code, 0, aborted.err);
  t.is(await phaseOf(work), 'unwound');
  t.deepEqual(await leftovers(blue.name), []);
  const { errors } = await ledger.stop();
  t.deepEqual(errors, []);
  t.deepEqual(await ledger.problems(server(), blue.name), []);
});

test(
  title('without a word in the playbook, and when a person stops it, everything is put back'),
  async (t) => {
    const { work, env, blue } = await scene(t, {
      head: `${GUARDED}\non-failure: { gate: hold }`,
      sql: 'create table missing (id int primary key);',
    });
    const ran = await work.cutover(['run', 'playbook.yml'], env);
    t.is(ran.code, 5, ran.err);
    t.is(await phaseOf(work), 'unwound');
    t.deepEqual(await leftovers(blue.name), []);
  },
);

test(
  title('a gate that nobody answers holds the run; one that is answered with no puts it back'),
  async (t) => {
    const { work, env, blue, green } = await scene(t, {
      head: 'sync: logical\non-failure: { gate: hold }',
      gate: '{ timeout: 1s }',
    });
    const ran = await work.cutover(['run', 'playbook.yml'], env);
    t.is(ran.code, 8, ran.err);
    t.regex(ran.err, /no by the time limit of 1.0 s/);
    const again = await work.cutover(['resume', '--yes'], env);
    t.is(again.code, 0, again.err);
    t.is((await work.cutover(['swap-back', '--yes'], env)).code, 0);
    t.is((await work.cutover(['retire', '--confirm', green.name], env)).code, 0);
    await work.file(
      'playbook.yml',
      (await readFile(join(work.folder, 'playbook.yml'), 'utf8')).replace('timeout: 1s', 'timeout: 2m'),
    );
    const { done } = work.start(['run', 'playbook.yml'], env);
    let rejected = await work.cutover(['reject'], env);
    for (let look = 0; rejected.code !== 0 && look < 100; look += 1)
      rejected = await work.cutover(['reject'], env);
    const { code, err } = await done;
    t.is(code, 4, err);
    t.is(await phaseOf(work), 'unwound');
    t.deepEqual(await leftovers(blue.name), []);
  },
);

test(title('a pause budget that runs out for good holds the run, with nobody held'), async (t) => {
  const { ledger, work, env, blue, green, pooler } = await scene(t, {
    head: 'sync: logical\non-failure: { switch: hold }',
    lines: '  pause-budget: 1ms\n  pause-retries: { limit: 1, wait: 100ms }\n',
  });
  ledger.start();
  const ran = await work.cutover(['run', 'playbook.yml'], env);
  t.is(ran.code, 8, ran.err);
  t.regex(ran.err, /budget/);
  const slept = await pooler.watch();
  t.false(await slept.isPaused('shop'));
  await slept.end();
  const again = await work.cutover(['resume', '--yes'], env);
  t.is(again.code, 8, again.err);
  const { errors } = await ledger.stop();
  t.deepEqual(errors, []);
  t.deepEqual(await ledger.problems(server(), blue.name), []);
  const aborted = await work.cutover(['abort'], env);
  t.is(aborted.code, 0, aborted.err);
  t.deepEqual(await leftovers(blue.name), []);
  t.deepEqual(await server().sql(`select datname from pg_database where datname = '${green.name}'`), []);
});

test(title('whoever stops a run in the middle of its verification gets everything back'), async (t) => {
  const { work, env, blue } = await scene(t, {
    head: [
      'sync: logical',
      'verify: [command: { run: "touch verifying; sleep 60", timeout: 5m }]',
      'on-failure: { verify: hold, switch: hold }',
    ].join('\n'),
  });
  const { child, done } = work.start(['run', 'playbook.yml'], env);
  await appears(join(work.folder, 'verifying'));
  child.kill('SIGTERM');
  const { code, err } = await done;
  t.is(code, 143, err);
  t.is(await phaseOf(work), 'unwound');
  t.deepEqual(await leftovers(blue.name), []);
});

test(title('a person who has answered the gate is asked again, and nobody else answers'), async (t) => {
  const { work, env, blue } = await scene(t, {
    head: 'sync: logical\napproval: required\non-failure: { switch: hold }',
    gate: '{ timeout: 2m }',
    lines: '  pause-budget: 1ms\n  pause-retries: { limit: 0, wait: 100ms }\n',
  });
  const approved = await work.cutover(['approve', 'playbook.yml', '--yes'], env);
  t.is(approved.code, 0, approved.err);
  const ran = await work.cutover(['run', 'playbook.yml', '--yes'], env);
  t.is(ran.code, 8, ran.err);
  const taken = await work.cutover(['reject', 'playbook.yml'], env);
  t.is(taken.code, 0, taken.err);
  const again = await work.cutover(['resume', '--yes'], env);
  t.is(again.code, 3, again.err);
  t.regex(again.err, /was taken back, or another took its place/);
  t.is((await work.cutover(['abort'], env)).code, 0);
  t.deepEqual(await leftovers(blue.name), []);
});
