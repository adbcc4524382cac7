import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { eventsOf, type Workplace } from './helpers/cli.ts';
import { until } from './helpers/until.ts';
import { LIVE_SETTINGS, liveScene } from './helpers/live-scene.ts';
import { NEEDS_PGBOUNCER, type Pooler } from './helpers/pgbouncer.ts';
import { slowClient } from './helpers/slow-client.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';

// One after the other: clients write all the time, and the machine is small.
const test = ava.serial;

const servers = new Map<string, Promise<TestServer>>();
const server = (major: number, which = 'first'): Promise<TestServer> => {
  const key = `${major} ${which}`;
  const started = servers.get(key) ?? testServer(major, LIVE_SETTINGS);
  servers.set(key, started);
  return started;
};
test.after.always(async () => {
  for (const started of servers.values()) await (await started).stop();
});

/** Nothing of any run is left: neither on the servers, nor in the databases that live on. */
async function assertNothingLeft(t: ExecutionContext, on: TestServer, database: string): Promise<void> {
  t.deepEqual(await on.sql(`select slot_name from pg_replication_slots where database = '${database}'`), []);
  t.deepEqual(await on.sql('select pubname from pg_publication', database), []);
  t.deepEqual(await on.sql(`select nspname from pg_namespace where nspname = 'cutover_sync'`, database), []);
  t.deepEqual(await on.sql(`select tgname from pg_trigger where tgname like 'cutover%'`, database), []);
}

const loginRetryOf = async (pooler: Pooler): Promise<string | undefined> =>
  (await pooler.ask('SHOW CONFIG')).find(({ key }) => key === 'server_login_retry')?.['value'];

/** What lies beside PgBouncer's file and should not. */
const besides = async ({ file }: Pooler): Promise<string[]> =>
  (await readdir(dirname(file))).filter((name) => name.includes('.cutover-'));

/** pg_dump and pg_restore that write down what they are told. */
async function listeningTools({
  folder,
}: Workplace): Promise<{ folder: string; heard(): Promise<string[]> }> {
  const tools = join(folder, 'tools');
  const log = join(tools, 'heard');
  await mkdir(tools);
  for (const name of ['pg_dump', 'pg_restore']) {
    const real = await findTool(name, undefined);
    await writeFile(join(tools, name), `#!/bin/sh\necho "${name} $*" >> ${log}\nexec ${real} "$@"\n`, {
      mode: 0o755,
    });
  }
  return { folder: tools, heard: async () => (await readFile(log, 'utf8')).split('\n').filter(Boolean) };
}

const PAIRS = [
  { title: 'on one server', from: () => server(18), to: () => server(18), needs: [18] },
  {
    title: 'across two servers of one major',
    from: () => server(15),
    to: () => server(15, 'second'),
    needs: [15],
  },
  { title: 'from 15 to 18', from: () => server(15), to: () => server(18), needs: [15, 18] },
  { title: 'from 14 to 16', from: () => server(14), to: () => server(16), needs: [14, 16] },
  { title: 'on one server of 17', from: () => server(17), to: () => server(17), needs: [17] },
];

for (const { title, from, to, needs } of PAIRS) {
  const lacking = needs.filter((major) => !majors().includes(major));
  const skipped =
    NEEDS_PGBOUNCER || (lacking.length > 0 ? ` (SKIPPED: PostgreSQL ${lacking.join(', ')} is missing)` : '');
  (skipped ? ava.skip : test)(
    `eight clients write through clone, sync, switch, swap back and a second switch ${title}: none fails, nothing is lost${skipped}`,
    async (t) => {
      const { ledger, cutover, blue, green, work, env } = await liveScene(t, {
        from: await from(),
        to: await to(),
      });
      ledger.start();
      await sleep(500);
      const tools = blue.server === green.server ? undefined : await listeningTools(work);
      const ran = await cutover([...(tools ? ['--tools', tools.folder] : []), 'run', 'playbook.yml']);
      t.is(ran.code, 0, ran.err);
      for (const argument of (await tools?.heard()) ?? [])
        for (const url of [env['DATABASE_URL']!, env['GREEN_URL']!])
          t.false(argument.includes(new URL(url).password), argument);
      await sleep(2000);
      const back = await cutover(['swap-back', '--yes']);
      t.is(back.code, 0, back.err);
      await sleep(1000);
      const again = await cutover(['switch', '--yes']);
      t.is(again.code, 0, again.err);
      await sleep(500);
      const { errors, acknowledged } = await ledger.stop();
      t.deepEqual(errors, []);
      t.true(acknowledged > 500, `${acknowledged}`);
      t.deepEqual(await ledger.problems(green.server, green.name), []);
      const retired = await cutover(['retire', '--confirm', blue.name]);
      t.is(retired.code, 0, retired.err);
      await assertNothingLeft(t, green.server, green.name);
      t.deepEqual(await blue.server.sql(`select slot_name from pg_replication_slots`), []);
    },
  );
}

(NEEDS_PGBOUNCER ? ava.skip : test)(
  `a pause budget of 1 ms is called off a hundred times: no client fails, and nothing is left${NEEDS_PGBOUNCER}`,
  async (t) => {
    const on = await server(18);
    const { ledger, cutover, blue, pooler, work } = await liveScene(t, {
      from: on,
      to: on,
      lines: '  pause-budget: 1ms\n  pause-retries: { limit: 99, wait: 20ms }\n',
    });
    ledger.start();
    const ran = await cutover(['run', 'playbook.yml']);
    t.is(ran.code, 4, ran.err);
    t.regex(ran.err, /the pause budget of 1 ms ran out/);
    const { errors } = await ledger.stop();
    t.deepEqual(errors, []);
    const retried = (await eventsOf(work)).filter(({ type }) => type === 'step-retried');
    t.is(retried.length, 99, ran.err);
    t.deepEqual(await ledger.problems(on, blue.name), []);
    await assertNothingLeft(t, on, blue.name);
    t.deepEqual(await on.sql(`select datname from pg_database where datname like '${blue.name}_%'`), []);
    const [entry] = (await pooler.ask('SHOW DATABASES')).filter(({ name }) => name === 'shop');
    t.is(String(entry!['paused']), '0');
    t.is(await loginRetryOf(pooler), '15');
    t.deepEqual(await besides(pooler), []);
  },
);

for (const command of ['run', 'swap-back'] as const) {
  (NEEDS_PGBOUNCER ? ava.skip : test)(
    `killed while clients are held by ${command}: they go on by themselves, and the run can be settled${NEEDS_PGBOUNCER}`,
    async (t) => {
      const on = await server(18);
      const { ledger, cutover, blue, green, pooler, work, env } = await liveScene(t, { from: on, to: on });
      ledger.start();
      if (command === 'swap-back') t.is((await cutover(['run', 'playbook.yml'])).code, 0);
      // PAUSE waits for its transactions: there is time to strike.
      const slow = await slowClient(pooler.url('shop'), 0.3);
      const { child, done } = work.start(
        command === 'run' ? ['run', 'playbook.yml'] : ['swap-back', '--yes'],
        env,
      );
      const watch = await pooler.watch();
      while (!(await watch.isPaused('shop')) && child.exitCode === null);
      child.kill('SIGKILL');
      await done;
      const killed = Date.now();
      await until('clients to go on', async () => !(await watch.isPaused('shop')));
      t.log(`clients were let go on after ${Date.now() - killed} ms`);
      await watch.end();
      await slow.end();
      await sleep(1000);
      const settled = command === 'run' ? await cutover(['resume']) : await cutover(['swap-back', '--yes']);
      t.is(settled.code, 0, settled.err);
      const { errors } = await ledger.stop();
      t.deepEqual(errors, []);
      t.deepEqual(await ledger.problems(on, command === 'run' ? green.name : blue.name), []);
      t.is(await loginRetryOf(pooler), '15');
      t.deepEqual(await besides(pooler), []);
    },
  );
}

for (const command of ['swap-back', 'switch'] as const) {
  (NEEDS_PGBOUNCER ? ava.skip : test)(
    `the tool’s sessions are ended while clients are held by ${command}: it is put back, and goes through the next time${NEEDS_PGBOUNCER}`,
    async (t) => {
      const on = await server(18);
      const { ledger, cutover, blue, green, pooler, work, env } = await liveScene(t, { from: on, to: on });
      ledger.start();
      t.is((await cutover(['run', 'playbook.yml'])).code, 0);
      if (command === 'switch') t.is((await cutover(['swap-back', '--yes'])).code, 0);
      const slow = await slowClient(pooler.url('shop'), 0.5);
      // At hand before the pause begins, which may be over soon.
      const other = await on.connect();
      const watch = await pooler.watch();
      const { child, done } = work.start([command, '--yes'], env);
      while (!(await watch.isPaused('shop')) && child.exitCode === null);
      await other.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'cutover 2%'`,
      );
      const struck = await done;
      t.false(await watch.isPaused('shop'), struck.err);
      await watch.end();
      await slow.end();
      t.not(struck.code, 0);
      const again = await cutover([command, '--yes']);
      t.is(again.code, 0, `${struck.err}\n${again.err}`);
      const { errors } = await ledger.stop();
      t.deepEqual(errors, [], struck.err);
      t.deepEqual(await ledger.problems(on, command === 'switch' ? green.name : blue.name), []);
    },
  );
}

(NEEDS_PGBOUNCER ? ava.skip : test)(
  `a swap back that is tried again leaves a journal that can be read${NEEDS_PGBOUNCER}`,
  async (t) => {
    const on = await server(18);
    const { cutover, pooler } = await liveScene(t, {
      from: on,
      to: on,
      lines: '  pause-budget: 200ms\n  pause-retries: { limit: 2, wait: 100ms }\n',
    });
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    const slow = await slowClient(pooler.url('shop'), 0.8);
    const late = await cutover(['swap-back', '--yes']);
    await slow.end();
    t.true(late.code === 0 || late.code === 4, late.err);
    const { code, out } = await cutover(['status']);
    t.is(code, 0);
    t.regex(out, late.code === 0 ? /: swapped back/ : /: completed/);
  },
);
