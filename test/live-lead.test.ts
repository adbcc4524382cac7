import { readdir, readFile, writeFile } from 'node:fs/promises';
import type { ExecutionContext } from 'ava';
import { eventsOf, statusIn } from './helpers/cli.ts';
import type { LiveScene } from './helpers/live-scene.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { slowClient } from './helpers/slow-client.ts';
import { until } from './helpers/until.ts';

// In the pause PgBouncer is led to the other side while the last changes are on their way: what becomes of that when they do
// not arrive, or when the process dies right there.

const { test, title, server, scene, leftovers } = liveSuite();

const movesOf = async ({ work }: LiveScene): Promise<number> =>
  (await eventsOf(work)).filter(({ type }) => type === 'ownership-moved').length;

/** Workers that apply changes in a database; stopped, nothing arrives there. */
const workers = async (database: string): Promise<number[]> =>
  (
    await server().sql<{ pid: number }>(
      `select s.pid from pg_stat_subscription s join pg_subscription on oid = subid join pg_database d on d.oid = subdbid
       where s.pid is not null and datname = '${database}'`,
    )
  ).map(({ pid }) => pid);

const signal = (pids: readonly number[], name: NodeJS.Signals): void => {
  for (const pid of pids) process.kill(pid, name);
};

/** The process that lets clients go on when its own dies. */
async function guardsOf(run: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (words.includes('guard') && words.includes(run)) found.push(Number(pid));
  }
  return found;
}

/** Starts a command, and gives it back at the moment when PgBouncer leads to the other side and nothing arrives there. */
async function ledAhead(t: ExecutionContext, made: LiveScene, command: readonly string[]) {
  const { work, env, pooler } = made;
  const first = command[0] === 'run';
  const to = command[0] === 'swap-back' ? made.blue.name : made.green.name;
  const before = first ? 0 : await movesOf(made);
  const watch = await pooler.watch();
  const slow = await slowClient(pooler.url('shop'), 2);
  const started = work.start(command, env);
  // Not the pause for the copy.
  if (first)
    await until('the switch', async () => (await statusIn(work))?.steps['switch']?.phase === 'running');
  await until('the pause', () => watch.isPaused('shop'));
  // PAUSE waits for the slow client meanwhile.
  const stopped = await workers(to);
  t.true(stopped.length > 0);
  signal(stopped, 'SIGSTOP');
  t.teardown(() => {
    try {
      signal(stopped, 'SIGCONT');
    } catch {
      // They are gone.
    }
  });
  await until('the lead', async () => (await watch.leads('shop')) === to || started.child.exitCode !== null);
  t.true(await watch.isPaused('shop'));
  t.is(await movesOf(made), before);
  return {
    ...started,
    watch,
    goOn: () => signal(stopped, 'SIGCONT'),
    end: async (): Promise<void> => {
      await slow.end();
      await watch.end();
    },
  };
}

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
