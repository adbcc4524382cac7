import { readFile, writeFile } from 'node:fs/promises';
import type { Client } from 'pg';
import { statusIn } from './helpers/cli.ts';
import { guardsOf, ledAhead, signal } from './helpers/led-ahead.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { until } from './helpers/until.ts';

// In the pause PgBouncer is led to the other side while this one is closed and the last changes are on their way: what becomes
// of that when they do not arrive, or when the process dies right there.

const { test, title, server, scene, leftovers } = liveSuite();

const BUDGET = '  pause-budget: 30s\n';

test(title('what does not arrive in time: clients go on where they were'), async (t) => {
  const made = await scene(t, { lines: '  pause-budget: 4s\n  pause-retries: { limit: 0, wait: 100ms }\n' });
  const { ledger, blue } = made;
  ledger.start();
  const { done, watch, goOn, end } = await ledAhead(t, made, ['run', 'playbook.yml']);
  await until('the end of the pause', async () => !(await watch.isPaused('shop')));
  goOn();
  const { code, err } = await done;
  t.is(code, 4, err);
  t.regex(err, /the pause budget of 4\.0 s ran out/);
  t.is(await watch.leads('shop'), blue.name);
  t.false(await watch.isPaused('shop'));
  await end();
  t.deepEqual((await ledger.stop()).errors, []);
  t.deepEqual(await ledger.problems(server(), blue.name), []);
  t.deepEqual(await leftovers(blue.name), []);
});

for (const [command, settling, live] of [
  [['run', 'playbook.yml'], 'abort', 'blue'],
  [['switch', '--yes'], 'switch', 'green'],
] as const)
  test(
    title(
      `a line that somebody changes right there is not overwritten, and nobody is held for it: ${command[0]}`,
    ),
    async (t) => {
      const made = await scene(t, {
        lines: '  pause-budget: 4s\n  pause-retries: { limit: 0, wait: 100ms }\n',
      });
      const { blue, pooler, cutover } = made;
      if (command[0] === 'switch')
        for (const before of [
          ['run', 'playbook.yml'],
          ['swap-back', '--yes'],
        ])
          t.is((await cutover(before)).code, 0);
      const { done, watch, goOn, end } = await ledAhead(t, made, command);
      const theirs = (await readFile(pooler.file, 'utf8')).replace(/dbname=\S+/, 'dbname=elsewhere');
      await writeFile(pooler.file, theirs);
      await until('the end of the pause', async () => !(await watch.isPaused('shop')));
      goOn();
      const { code, err } = await done;
      t.is(code, 7, err);
      t.regex(err, /putting it back failed: the line of PgBouncer's shop was changed by somebody/);
      const { run } = (await statusIn(made.work))!;
      t.true(err.includes(`then: cutover ${settling} ${run}\n`), err);
      t.is(await readFile(pooler.file, 'utf8'), theirs);
      await pooler.point('shop', `host=127.0.0.1 port=${new URL(server().url()).port} dbname=${blue.name}`);
      await end().catch(() => undefined);
      const settled = await cutover([settling, run, ...(settling === 'abort' ? [] : ['--yes'])]);
      t.is(settled.code, 0, settled.err);
      if (settling === 'abort') t.deepEqual(await leftovers(blue.name), []);
      t.is((await server().sql('select 1 as one from accounts limit 1', made[live].name)).length, 1);
      t.is((await statusIn(made.work))?.live, live);
    },
  );

for (const command of [
  ['run', 'playbook.yml'],
  ['swap-back', '--yes'],
] as const)
  test(title(`killed there, in ${command[0]}: clients go on where they were, by themselves`), async (t) => {
    const made = await scene(t, { lines: BUDGET });
    const { ledger, blue, green, cutover } = made;
    ledger.start();
    const swapsBack = command[0] === 'swap-back';
    if (swapsBack) t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    const { child, done, watch, goOn, end } = await ledAhead(t, made, command);
    child.kill('SIGKILL');
    await done;
    goOn();
    await until('the end of the pause', async () => !(await watch.isPaused('shop')));
    t.is(await watch.leads('shop'), swapsBack ? green.name : blue.name);
    await end();
    const settled = await cutover(swapsBack ? ['swap-back', '--yes'] : ['resume', '--yes']);
    t.is(settled.code, 0, settled.err);
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await ledger.problems(server(), swapsBack ? blue.name : green.name), []);
  });

test(
  title('killed there while somebody still writes beside PgBouncer: what they commit is not lost'),
  async (t) => {
    const made = await scene(t, { lines: BUDGET, sql: 'create table letters (id int primary key);' });
    const { ledger, blue, green, cutover } = made;
    ledger.start();
    let direct: Client | undefined;
    const { child, done, watch, goOn, end } = await ledAhead(t, made, ['run', 'playbook.yml'], async () => {
      direct = await server().connect(blue.name);
      await direct.query('begin; insert into letters values (1)');
    });
    // The fence waits for it, and PgBouncer is at the other side already.
    child.kill('SIGKILL');
    await done;
    goOn();
    await until('the end of the pause', async () => !(await watch.isPaused('shop')));
    t.is(await watch.leads('shop'), blue.name);
    await direct!.query('commit');
    await direct!.end();
    await end();
    const settled = await cutover(['resume', '--yes']);
    t.is(settled.code, 0, settled.err);
    t.deepEqual(await server().sql('select id from letters', green.name), [{ id: 1 }]);
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await ledger.problems(server(), green.name), []);
  },
);

test(
  title('a side that cannot be closed: PgBouncer is led back, and clients go on where they were'),
  async (t) => {
    const made = await scene(t, {
      lines: '  pause-budget: 4s\n  pause-retries: { limit: 0, wait: 100ms }\n',
    });
    const { ledger, blue } = made;
    ledger.start();
    const admin = await server().connect('postgres');
    const { done, watch, goOn, end } = await ledAhead(t, made, ['run', 'playbook.yml'], () =>
      admin.query(`begin; alter database ${blue.name} connection limit 100`),
    );
    await until('the end of the pause', async () => !(await watch.isPaused('shop')));
    goOn();
    const { code, err } = await done;
    t.is(code, 4, err);
    t.regex(err, /could not be closed: somebody is altering it, and has not committed/);
    await admin.query('rollback');
    await admin.end();
    t.is(await watch.leads('shop'), blue.name);
    await end();
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await ledger.problems(server(), blue.name), []);
    t.deepEqual(await leftovers(blue.name), []);
  },
);

for (const [command, recovery, phase] of [
  [['run', 'playbook.yml'], ['resume', '--yes'], 'completed'],
  [['run', 'playbook.yml'], ['abort'], 'unwound'],
  [['swap-back', '--yes'], ['swap-back', '--yes'], 'swapped back'],
] as const)
  test(title(`killed there with its guard, in ${command[0]}: ${recovery[0]} settles it`), async (t) => {
    const made = await scene(t, { lines: BUDGET });
    const { ledger, work, blue, green, cutover } = made;
    ledger.start();
    if (command[0] === 'swap-back') t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    const { child, done, watch, goOn, end } = await ledAhead(t, made, command);
    const guards = await guardsOf((await statusIn(work))!.run);
    t.is(guards.length, 1);
    signal(guards, 'SIGKILL');
    child.kill('SIGKILL');
    await done;
    goOn();
    t.true(await watch.isPaused('shop'));
    const settled = await cutover(recovery);
    t.is(settled.code, 0, settled.err);
    t.is((await statusIn(work))?.phase, phase);
    const live = phase === 'completed' ? green.name : blue.name;
    t.is(await watch.leads('shop'), live);
    t.false(await watch.isPaused('shop'));
    await end();
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await ledger.problems(server(), live), []);
  });

for (const [command, recovery, says] of [
  [['run', 'playbook.yml'], ['abort'], /targets were moved, and not by this run/],
  [['run', 'playbook.yml'], ['resume', '--yes'], /targets were moved, and not by this run/],
  [['swap-back', '--yes'], ['swap-back', '--yes'], /blue was opened by somebody in the middle of the swap/],
] as const)
  test(
    title(`who goes on there by hand, in ${command[0]}, is not overruled by ${recovery[0]}`),
    async (t) => {
      const made = await scene(t, { lines: BUDGET });
      const { ledger, work, blue, green, pooler, cutover } = made;
      ledger.start();
      const swapsBack = command[0] === 'swap-back';
      if (swapsBack) t.is((await cutover(['run', 'playbook.yml'])).code, 0);
      const { child, done, watch, goOn, end } = await ledAhead(t, made, command);
      signal(await guardsOf((await statusIn(work))!.run), 'SIGKILL');
      child.kill('SIGKILL');
      await done;
      goOn();
      const to = swapsBack ? blue.name : green.name;
      await server().sql(`alter database ${to} with allow_connections true connection limit -1`);
      await pooler.ask('RESUME shop');
      const settled = await cutover(recovery);
      t.is(settled.code, 7, settled.err);
      t.regex(settled.err, says);
      t.is(await watch.leads('shop'), to);
      await end();
      await ledger.stop();
    },
  );

test(
  title('a server that goes away there: clients are held until it is back, and go on where they were'),
  async (t) => {
    const made = await scene(t, { lines: BUDGET });
    const { ledger, blue } = made;
    ledger.start();
    const { done, watch, goOn, end } = await ledAhead(t, made, ['run', 'playbook.yml']);
    const back = server().crash(6000);
    goOn();
    await back;
    const { code, err } = await done;
    t.is(code, 4, err);
    await until('the end of the pause', async () => !(await watch.isPaused('shop')));
    t.is(await watch.leads('shop'), blue.name);
    await end();
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await ledger.problems(server(), blue.name), []);
  },
);
