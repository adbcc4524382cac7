import { Client } from 'pg';
import type { ExecutionContext } from 'ava';
import { eventsOf, workplace } from './helpers/cli.ts';
import type { LiveScene } from './helpers/live-scene.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { until } from './helpers/until.ts';

const { test, title, scene } = liveSuite();

const head = (lag: string): string =>
  `sync: logical\nbake: { for: 10m, every: 500ms, failures: 2, checks: [lag: ${lag}] }`;

/** Keeps whoever applies to the previous copy from a table of it. */
async function block(
  t: ExecutionContext,
  { blue }: LiveScene,
  table: string,
): Promise<() => Promise<unknown>> {
  const client = new Client({ connectionString: blue.server.url(blue.name) });
  // A swap back ends whoever is in there.
  client.on('error', () => undefined);
  await client.connect();
  t.teardown(() => client.end());
  await client.query('begin');
  await client.query(`lock table ${table} in access exclusive mode`);
  return () => client.end();
}

/** The bake of a run is under way, and has found nothing for a few looks. */
async function baking(t: ExecutionContext, { work, env }: LiveScene) {
  const run = work.start(['run', 'playbook.yml'], env);
  t.teardown(() => run.child.kill('SIGKILL'));
  await until('the bake', async () =>
    (await eventsOf(work).catch(() => [])).some(
      (event) => event.type === 'step-started' && event.step === 'bake',
    ),
  );
  await new Promise((resolve) => setTimeout(resolve, 3000));
  t.is(run.child.exitCode, null);
  return run;
}

test(title('lag: a previous copy whose changes wait for a lock takes too long'), async (t) => {
  const made = await scene(t, { head: head('{ time: 2s }') });
  made.ledger.start();
  const { done } = await baking(t, made);
  const unblock = await block(t, made, 'accounts');
  const { code, err } = await done;
  t.is(code, 7, err);
  t.regex(
    err,
    /green is not well for 2 looks in a row: lag: a change takes longer than 2(\.0)? ?s to reach the previous copy/,
  );
  // Nothing is lost meanwhile: when the way is free everything comes.
  await unblock();
  await made.ledger.stop();
  const back = await made.cutover(['swap-back', '--yes']);
  t.is(back.code, 0, back.err);
  t.deepEqual(await made.ledger.problems(made.blue.server, made.blue.name), []);
});

test(title('lag: a previous copy that has too much before it'), async (t) => {
  const made = await scene(t, {
    head: head('{ bytes: 2MB }'),
    sql: '; create table bulk (id int primary key, words text)',
  });
  const { done } = await baking(t, made);
  const unblock = await block(t, made, 'bulk');
  const { server, name } = made.green;
  // Once it waits for the lock it tells of nothing that comes after; a position before that may lie within the next transaction.
  await server.sql("insert into bulk values (0, '')", name);
  await until(
    'the worker to wait',
    async () =>
      (await made.blue.server.sql('select from pg_locks where not granted', made.blue.name)).length > 0,
  );
  await server.sql("insert into bulk select n, repeat('word ', 100) from generate_series(1, 20000) n", name);
  const { code, err } = await done;
  t.is(code, 7, err);
  t.regex(err, /lag: the previous copy is [\d.]+ ?MB behind, more than 2(\.0)? ?MB/);
  await unblock();
});

const text = (lag: string, sync: string): string =>
  `version: 1\nname: shop\nblue: postgresql://me@localhost/shop\nsync: ${sync}\nbake: { for: 1m, checks: [lag: ${lag}] }\nswitch: { targets: [database-rename] }\n`;

test('lag: mistakes', async (t) => {
  const work = await workplace(t);
  for (const [lag, sync, says] of [
    ['{ time: 5s }', 'none', /:5:\d+ .*lag asks the previous copy, which follows only with sync: logical/],
    ['{}', 'logical', /needs "bytes" or "time"/],
    ['{ time: 1h }', 'logical', /at most 30s/],
    ['{ bytes: 3 }', 'logical', /without a unit/],
  ] as const) {
    await work.file('playbook.yml', text(lag, sync));
    const { code, err } = await work.cutover(['validate', 'playbook.yml']);
    t.is(code, 2, lag);
    t.regex(err, says);
  }
});
