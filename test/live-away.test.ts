import { join } from 'node:path';
import ava from 'ava';
import { blackhole } from './helpers/blackhole.ts';
import { cuttable } from './helpers/cuttable.ts';
import { statusIn } from './helpers/cli.ts';
import { LIVE_SETTINGS } from './helpers/live-scene.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';
import { slowClient } from './helpers/slow-client.ts';
import { appears, until } from './helpers/until.ts';

// Servers that are away, or say nothing any more, while clients are held.

const { test, title, scene } = liveSuite();

const lacking = majors().includes(15) ? '' : ' (SKIPPED: PostgreSQL 15 is missing)';

(lacking ? ava.serial.skip : test)(
  title(`a server that falls silent in the pause holds clients no longer than any other${lacking}`),
  async (t) => {
    const [from, to] = await Promise.all([testServer(15, LIVE_SETTINGS), testServer(15, LIVE_SETTINGS)]);
    t.teardown(() => Promise.all([from.stop(), to.stop()]));
    const hole = await blackhole(to);
    t.teardown(() => hole.stop());
    const { ledger, blue, green, pooler, work, env } = await scene(t, {
      from,
      to,
      head: 'sync: logical\nlimits: { connect: 1s, statement: 2s }',
      // Whichever limit ends the wait: it is not tried again when the server is back.
      lines: '  pause-budget: 3s\n  pause-retries: { limit: 0, wait: 100ms }\n',
    });
    const through = { ...env, GREEN_URL: hole.url(green.name) };
    ledger.start();
    const slow = await slowClient(pooler.url('shop'), 1);
    const watch = await pooler.watch();
    const { done, child } = work.start(['run', 'playbook.yml'], through);
    while (!(await watch.isPaused('shop')) && child.exitCode === null);
    const paused = Date.now();
    hole.swallow();
    await until('clients to go on', async () => !(await watch.isPaused('shop')));
    const held = Date.now() - paused;
    hole.recover();
    const struck = await done;
    t.not(struck.code, 0, struck.err);
    t.true(held < 4000, `clients were held for ${held} ms\n${struck.err}`);
    await slow.end();
    await watch.end();
    const { errors } = await ledger.stop();
    t.deepEqual(errors, [], struck.err);
    t.deepEqual(await ledger.problems(from, blue.name), []);
    if ((await statusIn(work))?.phase !== 'unwound') await work.cutover(['abort'], through);
    t.is((await statusIn(work))?.phase, 'unwound', struck.err);
    t.deepEqual(await from.sql('select slot_name from pg_replication_slots'), []);
  },
);

for (const killed of [false, true])
  test(
    title(
      `a server that is away in the pause${killed ? ', and the tool is killed' : ''}: clients go on by themselves when it is back`,
    ),
    async (t) => {
      const on = await testServer(18, LIVE_SETTINGS);
      t.teardown(() => on.stop());
      const { cutover, pooler, work, env, green } = await scene(t, { from: on, to: on });
      t.is((await cutover(['run', 'playbook.yml'])).code, 0);
      const slow = await slowClient(pooler.url('shop'), 1);
      const watch = await pooler.watch();
      const { done, child } = work.start(['swap-back', '--yes'], env);
      while (!(await watch.isPaused('shop')) && child.exitCode === null);
      // Longer than the tool insists for, and then it leaves them to its guard.
      const away = killed ? 5000 : 50_000;
      const crashed = on.crash(away);
      if (killed) child.kill('SIGKILL');
      // Nobody would take them.
      await new Promise((resolve) => setTimeout(resolve, away - 500));
      t.true(await watch.isPaused('shop'));
      await crashed;
      const { code, err } = await done;
      t.not(code, 0, err);
      await until('clients to go on', async () => !(await watch.isPaused('shop')));
      await slow.end().catch(() => undefined);
      await watch.end();
      t.is((await on.sql('select 1 as one', green.name)).length, 1);
      const client = await pooler.client('shop');
      t.is((await client.query('select current_database() as name')).rows[0].name, green.name);
      await client.end();
      if (killed) {
        const wrong = await cutover(['switch', '--yes']);
        t.is(wrong.code, 3, wrong.err);
        t.regex(wrong.err, /is on its way to blue already[^]*to finish: cutover swap-back/);
      }
      const back = await cutover(['swap-back', '--yes']);
      t.is(back.code, 0, back.err);
    },
  );

/** The comment of a database, which carries the mark of a run. */
async function markOf(on: TestServer, name: string): Promise<string> {
  const [row] = await on.sql(
    `select shobj_description(oid, 'pg_database') as mark from pg_database where datname = '${name}'`,
  );
  return String(row!['mark']);
}

for (const [often, code] of [
  ['once', 0],
  ['again and again', 7],
] as const)
  (lacking ? ava.serial.skip : test)(
    title(
      `the side that is set aside cannot be marked so ${often}: the other one is live, and nobody waits for it${lacking}`,
    ),
    async (t) => {
      const [from, to] = await Promise.all([testServer(15, LIVE_SETTINGS), testServer(15, LIVE_SETTINGS)]);
      t.teardown(() => Promise.all([from.stop(), to.stop()]));
      const port = Number(new URL(from.url()).port);
      const { ledger, blue, green, pooler, work, env } = await scene(t, {
        from,
        to,
        targets: (own) => [own.replace(/ }$/, `, blue: { host: 127.0.0.1, port: ${port} } }`)],
      });
      let refusals = 0;
      let mended = false;
      const way = await cuttable(t, port, undefined, (words) => {
        const refused = /COMMENT ON DATABASE/.test(words) && !mended && (code !== 0 || refusals === 0);
        if (refused) refusals += 1;
        return refused;
      });
      const through = { ...env, DATABASE_URL: way.through(env['DATABASE_URL']!) };
      const marked = async (): Promise<boolean> => /previous/.test(await markOf(from, blue.name));
      ledger.start();
      const ran = await work.cutover(['run', 'playbook.yml'], through);
      t.true(refusals > 0, ran.err);
      t.is(ran.code, code, ran.err);
      t.is(await marked(), code === 0);
      t.is((await statusIn(work))?.live, 'green');
      mended = true;
      if (code !== 0) {
        const resumed = await work.cutover(['resume', '--yes'], through);
        t.is(resumed.code, 0, resumed.err);
        t.true(await marked());
      }
      const client = await pooler.client('shop');
      t.is((await client.query('select current_database() as name')).rows[0].name, green.name);
      await client.end();
      const back = await work.cutover(['swap-back', '--yes'], through);
      t.is(back.code, 0, back.err);
      t.deepEqual((await ledger.stop()).errors, []);
      t.deepEqual(await ledger.problems(from, blue.name), []);
    },
  );

test(title('the side that is set aside is marked so as soon as clients go on'), async (t) => {
  const on = await testServer(18, LIVE_SETTINGS);
  t.teardown(() => on.stop());
  const { work, blue, cutover } = await scene(t, {
    from: on,
    to: on,
    head: "sync: logical\nhooks: [{ after: switch, run: 'touch hook; while [ ! -e go ]; do sleep 0.1; done' }]",
  });
  const running = cutover(['run', 'playbook.yml']);
  await appears(join(work.folder, 'hook'));
  const mark = await markOf(on, blue.name);
  await work.file('go', '');
  const ran = await running;
  t.is(ran.code, 0, ran.err);
  t.regex(mark, /previous/);
});

(lacking ? ava.serial.skip : test)(
  title(`killed before the side that is set aside is marked so: the guard does it${lacking}`),
  async (t) => {
    const [from, to] = await Promise.all([testServer(15, LIVE_SETTINGS), testServer(15, LIVE_SETTINGS)]);
    t.teardown(() => Promise.all([from.stop(), to.stop()]));
    const port = Number(new URL(from.url()).port);
    const { ledger, blue, work, env } = await scene(t, {
      from,
      to,
      targets: (own) => [own.replace(/ }$/, `, blue: { host: 127.0.0.1, port: ${port} } }`)],
    });
    let kill: (() => unknown) | undefined;
    const way = await cuttable(t, port, undefined, (words) => {
      if (!kill || !/COMMENT ON DATABASE/.test(words)) return false;
      kill();
      kill = undefined;
      return true;
    });
    const through = { ...env, DATABASE_URL: way.through(env['DATABASE_URL']!) };
    ledger.start();
    const { child, done } = work.start(['run', 'playbook.yml'], through);
    kill = () => child.kill('SIGKILL');
    t.is((await done).signal, 'SIGKILL');
    await until('the mark', async () => /previous/.test(await markOf(from, blue.name)));
    t.is((await statusIn(work))?.live, 'green');
    const resumed = await work.cutover(['resume', '--yes'], through);
    t.is(resumed.code, 0, resumed.err);
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await ledger.problems(to, `${blue.name}_green`), []);
  },
);
