// Going back although the previous copy cannot hold every row: what does not fit is passed over, and nothing else.
import type { ExecutionContext } from 'ava';
import { liveScene, type LiveScene } from './helpers/live-scene.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { testServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';
import { ALL, FIRST, HELD, rowsOf, SECOND, SETTINGS, WIDENED, written } from './helpers/widened.ts';

const { test, title, server } = liveSuite();

const HINT =
  /make room for it in the previous copy[^;]*; or go on without it: cutover swap-back --accept-data-loss --yes/;

async function standing(t: ExecutionContext, scene: LiveScene, hint = HINT): Promise<void> {
  await written(scene);
  await until('the way back to stand still', async () =>
    /way back: stands still/.test((await scene.cutover(['status'])).out),
  );
  await until('the word on what to do', async () => {
    const refused = await scene.cutover(['swap-back', '--yes']);
    t.is(refused.code, 3, refused.err);
    return hint.test(refused.err);
  });
}

for (const major of [15, 18] as const)
  test(
    title(`${major}: transactions that do not fit are passed over whole, and clients write all the time`),
    async (t) => {
      const on = await testServer(major, { ...SETTINGS, logging_collector: major === 18 ? 'on' : 'off' });
      t.teardown(() => on.stop());
      const scene = await liveScene(t, { from: on, to: on, ...WIDENED });
      const { cutover, ledger, blue, green } = scene;
      ledger.start();
      const ran = await cutover(['run', 'playbook.yml']);
      t.is(ran.code, 0, ran.err);
      await standing(t, scene);
      const back = await cutover(['swap-back', '--yes', '--accept-data-loss']);
      t.is(back.code, 0, back.err);
      t.regex(back.err, FIRST);
      t.regex(back.err, SECOND);
      t.is(
        back.err.match(/blue passes over a transaction that does not fit \([0-9A-F]+\/[0-9A-F]+\)/g)?.length,
        2,
      );
      t.deepEqual(await rowsOf(on, blue.name), HELD);
      // Whatever clients were told is there, is there.
      await until('writes on blue', async () => {
        const [row] = await on.sql('select count(*)::int as n from entries', blue.name);
        return Number(row!['n']) > 50;
      });
      const again = await cutover(['switch', '--yes']);
      t.is(again.code, 0, again.err);
      t.deepEqual(await rowsOf(on, green.name), ALL);
      const { errors } = await ledger.stop();
      t.deepEqual(errors, []);
      t.deepEqual(await ledger.problems(on, green.name), []);
      // What blue was passed over stays known, although blue follows again.
      const { wayBack } = JSON.parse((await cutover(['status', '--json'])).out) as {
        wayBack: { spoilers: string[] };
      };
      t.true(
        wayBack.spoilers.some((line) => SECOND.test(line)),
        wayBack.spoilers.join('\n'),
      );
      const refused = await cutover(['swap-back', '--yes']);
      t.is(refused.code, 3, refused.err);
      t.regex(refused.err, FIRST);
    },
  );

test(title('a transaction that there is room for by now is not passed over'), async (t) => {
  const scene = await liveScene(t, { from: server(), to: server(), ...WIDENED });
  const { cutover, blue, work, env } = scene;
  t.is((await cutover(['run', 'playbook.yml'])).code, 0);
  await standing(t, scene);
  // The worker waits for it at the first of the two, and then goes on by itself.
  const hold = await server().connect(blue.name);
  await hold.query('begin; lock table "Wide ""one""" in access exclusive mode');
  const { done } = work.start(['swap-back', '--yes', '--accept-data-loss'], env);
  await hold.query('alter table "Wide ""one""" alter n type bigint; commit');
  const back = await done;
  t.is(back.code, 0, back.err);
  t.notRegex(back.err, /passes over/);
  t.deepEqual(await rowsOf(server(), blue.name), ALL);
});

test(
  title('one that dies with a transaction written down, and not passed over, goes on from there'),
  async (t) => {
    const scene = await liveScene(t, { from: server(), to: server(), ...WIDENED });
    const { cutover, blue, green, work, env } = scene;
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    await standing(t, scene);
    for (const word of [FIRST, SECOND]) {
      const { child, done } = work.start(['swap-back', '--yes', '--accept-data-loss'], env);
      child.stderr!.on('data', (chunk: Buffer) => {
        if (word.test(chunk.toString())) child.kill('SIGKILL');
      });
      t.not((await done).code, 0);
    }
    const state = async (): Promise<{ phase: string; live: string }> =>
      JSON.parse((await cutover(['status', '--json'])).out) as { phase: string; live: string };
    t.like(await state(), { phase: 'swapping back', live: 'green' });
    const back = await cutover(['swap-back', '--yes', '--accept-data-loss']);
    t.is(back.code, 0, back.err);
    t.deepEqual(await rowsOf(server(), blue.name), HELD);
    t.deepEqual(await rowsOf(server(), green.name), ALL);
    const retired = await cutover(['retire']);
    t.is(retired.code, 3);
    t.regex(retired.err, FIRST);
    t.regex(retired.err, SECOND);
  },
);

test(title('a follower that nobody runs is not waited for without end, and green stays live'), async (t) => {
  const scene = await liveScene(t, { from: server(), to: server(), ...WIDENED });
  const { cutover, blue, green } = scene;
  t.is((await cutover(['run', 'playbook.yml'])).code, 0);
  await standing(t, scene);
  const [row] = await server().sql(
    `select quote_ident(subname) as name from pg_subscription s join pg_database d on d.oid = subdbid where datname = '${blue.name}'`,
  );
  await server().sql(`alter subscription ${row!['name']} disable`, blue.name);
  const back = await cutover(['swap-back', '--yes', '--accept-data-loss']);
  t.is(back.code, 4, back.err);
  t.regex(back.err, /nobody tries to apply the changes/);
  t.notRegex(back.err, /passes over/);
  await server().sql(`alter subscription ${row!['name']} enable`, blue.name);
  const again = await cutover(['swap-back', '--yes', '--accept-data-loss']);
  t.is(again.code, 0, again.err);
  t.deepEqual(await rowsOf(server(), blue.name), HELD);
  t.deepEqual(await rowsOf(server(), green.name), ALL);
});

test(title('14 counts nothing and passes over nothing: it says so, and green stays live'), async (t) => {
  const on = await testServer(14, SETTINGS);
  t.teardown(() => on.stop());
  const scene = await liveScene(t, { from: on, to: on, ...WIDENED });
  const { cutover, green } = scene;
  t.is((await cutover(['run', 'playbook.yml'])).code, 0);
  await standing(t, scene, /make room for it in the previous copy.*goes on by itself then$/m);
  const back = await cutover(['swap-back', '--yes', '--accept-data-loss']);
  t.is(back.code, 4, back.err);
  t.regex(back.err, /blue does not apply the changes of green[^]*make room for it in the previous copy/);
  t.deepEqual(await rowsOf(on, green.name), ALL);
  t.like(JSON.parse((await cutover(['status', '--json'])).out), { live: 'green', phase: 'completed' });
});
