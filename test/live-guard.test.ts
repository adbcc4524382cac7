import { readFile, rename, writeFile } from 'node:fs/promises';
import type { ExecutionContext } from 'ava';
import { cuttable } from './helpers/cuttable.ts';
import { statusIn } from './helpers/cli.ts';
import { guardsOf, ledAhead, signal } from './helpers/led-ahead.ts';
import type { LiveScene } from './helpers/live-scene.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { slowClient } from './helpers/slow-client.ts';
import { until } from './helpers/until.ts';

// The process is killed when PgBouncer leads to the other side already, and somebody lends a hand before its guard does.

const { test, title, server, scene } = liveSuite();

/** `meanwhile` is done after the process has died, and before its guard does anything. */
async function struck(
  t: ExecutionContext,
  command: readonly string[],
  meanwhile: (made: LiveScene) => Promise<unknown>,
  besides: readonly string[] = [],
) {
  const made = await scene(t, { lines: '  pause-budget: 30s\n', targets: (own) => [own, ...besides] });
  await made.work.file('.env', `DATABASE_URL=${server().url(made.blue.name)}\n`);
  if (command[0] === 'swap-back') t.is((await made.cutover(['run', 'playbook.yml'])).code, 0);
  const { child, done, watch, goOn, end } = await ledAhead(t, made, command);
  const { run } = (await statusIn(made.work))!;
  const guards = await guardsOf(run);
  t.is(guards.length, 1);
  signal(guards, 'SIGSTOP');
  child.kill('SIGKILL');
  await done;
  goOn();
  t.true(await watch.isPaused('shop'));
  await meanwhile(made);
  signal(guards, 'SIGCONT');
  await until('the end of the guard', async () => (await guardsOf(run)).length === 0);
  t.false(await watch.isPaused('shop'));
  return { made, watch, end };
}

const CLOSED = { message: /not currently accepting connections/ };
const ACCOUNTS = 'select 1 as one from accounts limit 1';

for (const [command, to, live] of [
  [['run', 'playbook.yml'], 'green', 'blue'],
  [['swap-back', '--yes'], 'blue', 'green'],
] as const) {
  test(
    title(`its line was changed by somebody, in ${command[0]}: the guard holds nobody for it`),
    async (t) => {
      let theirs = '';
      const { made, end } = await struck(t, command, async ({ pooler }) => {
        theirs = (await readFile(pooler.file, 'utf8')).replace(/dbname=\S+/, 'dbname=elsewhere');
        await writeFile(pooler.file, theirs);
      });
      const { pooler, work, cutover } = made;
      t.is(await readFile(pooler.file, 'utf8'), theirs);
      t.is((await server().sql(ACCOUNTS, made[live].name)).length, 1);
      await t.throwsAsync(server().connect(made[to].name), CLOSED);
      await pooler.point(
        'shop',
        `host=127.0.0.1 port=${new URL(server().url()).port} dbname=${made[live].name}`,
      );
      // Meanwhile there was no such database.
      await end().catch(() => undefined);
      const settled = await cutover(command[0] === 'run' ? ['abort'] : command);
      t.is(settled.code, 0, settled.err);
      t.is((await statusIn(work))?.live, 'blue');
      t.is((await server().sql(ACCOUNTS, made.blue.name)).length, 1);
    },
  );

  test(
    title(`its file is away for a moment, in ${command[0]}: nobody is held, and it is led back later`),
    async (t) => {
      const { made, watch, end } = await struck(t, command, ({ pooler }) =>
        rename(pooler.file, `${pooler.file}.away`),
      );
      const { pooler, work, cutover } = made;
      t.is((await server().sql(ACCOUNTS, made[live].name)).length, 1);
      await t.throwsAsync(server().connect(made[to].name), CLOSED);
      await rename(`${pooler.file}.away`, pooler.file);
      const settled = await cutover(command[0] === 'run' ? ['abort'] : command);
      t.is(settled.code, 0, settled.err);
      t.is((await statusIn(work))?.live, 'blue');
      t.is(await watch.leads('shop'), made.blue.name);
      await end().catch(() => undefined);
    },
  );

  test(title(`who goes on there by hand, in ${command[0]}, is not overruled by the guard`), async (t) => {
    const { made, watch, end } = await struck(t, command, async ({ pooler, [to]: { name } }) => {
      await server().sql(`alter database ${name} with allow_connections true connection limit -1`);
      await pooler.ask('RESUME shop');
    });
    t.is(await watch.leads('shop'), made[to].name);
    t.is((await server().sql(ACCOUNTS, made[to].name)).length, 1);
    await t.throwsAsync(server().connect(made[live].name), CLOSED);
    await end();
  });
}

test(title('another target was changed by somebody: the guard holds nobody for it'), async (t) => {
  const { made, watch, end } = await struck(
    t,
    ['run', 'playbook.yml'],
    ({ work }) => work.file('.env', `DATABASE_URL=${server().url('elsewhere')}\n`),
    ['env-file: { path: .env }'],
  );
  const { blue, green, work, cutover } = made;
  t.is(await watch.leads('shop'), blue.name);
  t.is((await server().sql(ACCOUNTS, blue.name)).length, 1);
  await t.throwsAsync(server().connect(green.name), CLOSED);
  await work.file('.env', `DATABASE_URL=${server().url(blue.name)}\n`);
  const aborted = await cutover(['abort']);
  t.is(aborted.code, 0, aborted.err);
  await end();
});

test(
  title('killed in the pause for the copy, and PgBouncer cannot be asked at once: it is asked again'),
  async (t) => {
    const { work, env, pooler, cutover, blue } = await scene(t);
    let refusals: number | undefined;
    const way = await cuttable(t, pooler.port, undefined, (words) => {
      if (refusals === undefined || !words.includes('SHOW')) return false;
      refusals += 1;
      return refusals <= 3;
    });
    const watch = await pooler.watch();
    const slow = await slowClient(pooler.url('shop'), 2);
    const { child, done } = work.start(['run', 'playbook.yml'], {
      ...env,
      ADMIN_URL: way.through(pooler.admin),
    });
    await until('the pause', () => watch.isPaused('shop'));
    t.is((await statusIn(work))?.steps['clone']?.phase, 'running');
    refusals = 0;
    child.kill('SIGKILL');
    await done;
    await until('the end of the pause', async () => !(await watch.isPaused('shop')));
    t.true(refusals > 3);
    t.is(await watch.leads('shop'), blue.name);
    await slow.end();
    const aborted = await cutover(['abort']);
    t.is(aborted.code, 0, aborted.err);
    await watch.end();
  },
);
