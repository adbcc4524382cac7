import { spawnSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileJournalStore } from '../src/journal/file.ts';
import type { Workplace } from './helpers/cli.ts';
import { cuttable } from './helpers/cuttable.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { pgbouncer } from './helpers/pgbouncer.ts';
import { slowClient } from './helpers/slow-client.ts';
import { until } from './helpers/until.ts';

const { test, title, server, scene } = liveSuite();

/** How often ownership has moved. */
async function movesOf({ folder }: Workplace): Promise<number> {
  const runs = join(folder, '.cutover/runs');
  const [run] = await readdir(runs);
  return (await readFile(join(runs, run!, 'journal.jsonl'), 'utf8')).split('"ownership-moved"').length;
}

test(title('several PgBouncers are all held before one is led elsewhere'), async (t) => {
  const direct = new URL(server().url());
  let name = '';
  const second = await pgbouncer([`shop = host=127.0.0.1 port=${direct.port} dbname=template1`]);
  t.teardown(() => second.stop());
  const made = await scene(t, {
    targets: (own, blue) => {
      name = blue;
      return [own, `pgbouncer: { admin: "\${SECOND_URL}", database: shop, file: ${second.file} }`];
    },
    sql: 'create table beside (id int primary key);',
  });
  await second.point('shop', `host=127.0.0.1 port=${direct.port} dbname=${name}`);
  const env = { ...made.env, SECOND_URL: second.admin };
  const { ledger, work, blue, green, pooler } = made;
  ledger.start();
  const written: number[] = [];
  const client = await second.client('shop');
  const over = new AbortController();
  const writing = (async () => {
    for (let id = 1; !over.signal.aborted; id += 1) {
      await client.query('insert into beside values ($1)', [id]);
      written.push(id);
      await sleep(2);
    }
  })();
  for (const [command, live] of [
    [['run', 'playbook.yml'], green],
    [['swap-back', '--yes'], blue],
    [['switch', '--yes'], green],
  ] as const) {
    const { code, err } = await work.cutover(command, env);
    t.is(code, 0, err);
    for (const each of [pooler, second]) {
      const [entry] = (await each.ask('SHOW DATABASES')).filter((row) => row['name'] === 'shop');
      t.is(entry!['database'], live.name);
      t.is(String(entry!['paused']), '0');
    }
  }
  over.abort();
  await writing;
  // The second one dies while the first waits for a transaction, and right after ownership has moved: whatever becomes of
  // it, the first must not stay paused, and both lead to where the run says.
  for (const moment of ['paused', 'moved'] as const) {
    const slow = await slowClient(pooler.url('shop'), moment === 'paused' ? 1.5 : 0.3);
    const { done, child } = work.start(['swap-back', '--yes'], env);
    const watch = await pooler.watch();
    if (moment === 'paused') while (!(await watch.isPaused('shop')) && child.exitCode === null);
    else {
      const before = await movesOf(work);
      while ((await movesOf(work)) === before && child.exitCode === null);
    }
    second.process.kill('SIGKILL');
    const struck = await done;
    t.false(await watch.isPaused('shop'), struck.err);
    await watch.end();
    await slow.end();
    await second.start();
    if (struck.code !== 0) {
      // Its guard may still be at it: it holds the journal until the pool is let go, or until it gives up.
      const deadline = Date.now() + 60_000;
      let again = await work.cutover(['swap-back', '--yes'], env);
      while (/another process works on run/.test(again.err) && Date.now() < deadline) {
        await sleep(500);
        again = await work.cutover(['swap-back', '--yes'], env);
      }
      t.is(again.code, 0, `${moment}\n${struck.err}\n${again.err}`);
    }
    t.log(`killed when ${moment}: ended with ${struck.code}`);
    for (const each of [pooler, second]) {
      const [entry] = (await each.ask('SHOW DATABASES')).filter((row) => row['name'] === 'shop');
      t.is(entry!['database'], blue.name, moment);
    }
    if (moment === 'paused') t.is((await work.cutover(['switch', '--yes'], env)).code, 0);
  }
  t.deepEqual((await ledger.stop()).errors, []);
  t.deepEqual(await ledger.problems(server(), blue.name), []);
  const rows = await server().sql('select id from beside order by id', blue.name);
  t.deepEqual(rows.map(({ id }) => id).slice(0, written.length), written);
});

test(title('a PgBouncer that dies right after clients went on is no failure of the run'), async (t) => {
  const { pooler, work, blue, green, ...made } = await scene(t);
  // Not by the way that can be cut: who is away refuses.
  const env = { ...made.env, ADMIN_URL: pooler.admin };
  const watch = await pooler.watch();
  const { done, child } = work.start(['run', 'playbook.yml'], env);
  const moved = async (): Promise<boolean> => (await movesOf(work).catch(() => 0)) > 1;
  while (!(await moved()) && child.exitCode === null);
  while (await watch.isPaused('shop'));
  // What the pause altered is put back after a second.
  await sleep(200);
  pooler.process.kill('SIGKILL');
  await watch.end();
  const { code, err } = await done;
  t.is(code, 0, err);
  t.regex(err, /could not be tidied up after the pause/);
  await pooler.start();
  const back = await work.cutover(['swap-back', '--yes'], env);
  t.is(back.code, 0, back.err);
  t.is((await work.cutover(['retire', '--confirm', green.name], env)).code, 0);
  t.deepEqual(
    await server().sql(`select slot_name from pg_replication_slots where database = '${blue.name}'`),
    [],
  );
});

for (const [at, command] of [
  ['for the copy', ['run', 'playbook.yml']],
  ['of a swap back', ['swap-back', '--yes']],
] as const)
  test(title(`a PgBouncer that dies at the RESUME ${at} and comes back is no failure`), async (t) => {
    const { pooler, work, blue, green, ...made } = await scene(t);
    let back: Promise<void> | undefined;
    const admin = await cuttable(t, pooler.port, (words) => {
      if (back || !words.includes('RESUME')) return;
      pooler.process.kill('SIGKILL');
      back = sleep(300).then(() => pooler.start());
    });
    const env = { ...made.env, ADMIN_URL: pooler.admin };
    const struck = { ...env, ADMIN_URL: admin.through(pooler.admin) };
    const [first, second] = command[0] === 'run' ? [struck, env] : [env, struck];
    for (const [words, seen, live] of [
      [['run', 'playbook.yml'], first, green],
      [['swap-back', '--yes'], second, blue],
    ] as const) {
      const { code, err } = await work.cutover(words, seen);
      await back;
      t.is(code, 0, err);
      const [entry] = (await pooler.ask('SHOW DATABASES')).filter((row) => row['name'] === 'shop');
      t.is(entry!['database'], live.name);
      t.is(String(entry!['paused']), '0');
    }
    t.truthy(back, 'there was a RESUME');
  });

test(title('a guard lets clients go on although who died still looks alive for a while'), async (t) => {
  const { ledger, pooler, work, env } = await scene(t);
  ledger.start();
  const slow = await slowClient(pooler.url('shop'), 0.3);
  const { child, done } = work.start(['run', 'playbook.yml'], env);
  const watch = await pooler.watch();
  while (!(await watch.isPaused('shop')) && child.exitCode === null);
  // It does not end the pause while its guard is looked for.
  child.kill('SIGSTOP');
  const store = new FileJournalStore(join(work.folder, '.cutover'));
  const [run] = await store.list();
  // Its own guard first: another one comes below, when the journal has a writer that lives.
  spawnSync('pkill', ['-9', '-f', `guard ${run}`]);
  child.kill('SIGKILL');
  await done;
  const dying = await store.open(run!);
  const guard = work.start(['guard', run!], env);
  await sleep(1500);
  t.true(await watch.isPaused('shop'));
  await dying.close();
  await until('clients to go on', async () => !(await watch.isPaused('shop')));
  await watch.end();
  await slow.end();
  await guard.done;
  // Whoever goes on with the run waits for one that is just ending.
  const ending = await store.open(run!);
  const settling = work.start(['resume'], env);
  await sleep(2500);
  await ending.close();
  const settled = await settling.done;
  t.is(settled.code, 0, settled.err);
  t.deepEqual((await ledger.stop()).errors, []);
});
