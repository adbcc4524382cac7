import { Client } from 'pg';
import type { ExecutionContext } from 'ava';
import { eventsOf, workplace } from './helpers/cli.ts';
import type { LiveScene } from './helpers/live-scene.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { until } from './helpers/until.ts';

const { test, title, scene } = liveSuite({ shared_preload_libraries: 'pg_stat_statements' });

const QUERY = 'select count(*) from big where k = $1';
const SQL = `; create table big (id int primary key, k int not null);
insert into big select n, n from generate_series(1, 300000) n; create index big_k on big (k); analyze big;`;
const HEAD = `sync: logical
verify: [row-counts]
bake: { for: 5s, every: 500ms, failures: 2, checks: [statements: { times: 3, least: 1ms }] }`;
const EXTENSION = 'create schema "Stat s"; create extension pg_stat_statements schema "Stat s";';

/** The application at work on one side. */
async function work(
  t: ExecutionContext,
  side: LiveScene['blue'],
): Promise<{ round(): Promise<void>; end(): Promise<void> }> {
  const client = new Client({ connectionString: side.server.url(side.name) });
  client.on('error', () => undefined);
  await client.connect();
  t.teardown(() => client.end());
  return {
    async round() {
      for (let n = 0; n < 25; n += 1) await client.query(QUERY, [n]);
    },
    end: () => client.end(),
  };
}

async function ran(t: ExecutionContext, migration: string) {
  const made = await scene(t, { head: HEAD, sql: SQL + EXTENSION, migration });
  const before = await work(t, made.blue);
  await before.round();
  await before.end();
  const run = made.work.start(['run', 'playbook.yml'], made.env);
  t.teardown(() => run.child.kill('SIGKILL'));
  await until('the bake', async () =>
    (await eventsOf(made.work).catch(() => [])).some(
      (event) => event.type === 'step-started' && event.step === 'bake',
    ),
  );
  const after = await work(t, made.green);
  const over = new AbortController();
  const done = run.done.finally(() => over.abort());
  while (!over.signal.aborted) await after.round();
  await after.end();
  return done;
}

test(title('statements: one whose index is gone is slower on green than it was on blue'), async (t) => {
  const { code, err } = await ran(t, 'drop index big_k');
  t.is(code, 7, err);
  t.regex(err, /statements: 1 statement of \d+ that were judged: more than 3 times as slow as on blue/);
  t.regex(err, /instead of .*: select count\(\*\) from big where k = \$1/);
});

test(title('statements: those that are as quick as before are judged, and pass'), async (t) => {
  const { code, err } = await ran(t, "alter table accounts add column tier text not null default 'free'");
  t.is(code, 0, err);
  t.regex(err, /statements: 1 statement of blue's, executed on green: none takes more than 3 times as long/);
});

test(title('statements: a run whose servers have nothing to tell is refused'), async (t) => {
  const { work: place, env } = await scene(t, { head: HEAD, sql: SQL });
  const { code, err } = await place.cutover(['run', 'playbook.yml'], env);
  t.is(code, 3, err);
  t.regex(err, /the extension pg_stat_statements is not in blue/);
});

test('statements: without sync there is nobody to ask', async (t) => {
  const place = await workplace(t);
  await place.file(
    'playbook.yml',
    'version: 1\nname: shop\nblue: postgresql://me@localhost/shop\nbake: { for: 1m, checks: [statements: {}] }\nswitch: { targets: [database-rename] }\n',
  );
  const { code, err } = await place.cutover(['validate', 'playbook.yml']);
  t.is(code, 2);
  t.regex(err, /statements asks the previous copy, which follows only with sync: logical/);
});
