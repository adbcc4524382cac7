import { appendFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { EventBody } from '../src/core/event.ts';
import { FileJournalStore } from '../src/journal/file.ts';
import type { JournalStore } from '../src/journal/journal.ts';
import { PostgresJournalStore } from '../src/journal/postgres/store.ts';
import { workplace } from './helpers/cli.ts';
import { created, wholeLife } from './helpers/events.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { shop } from './helpers/shop.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

interface Row {
  run: string;
  phase: string;
  exit: number | null;
  tookMs: number | null;
  heldMs: number | null;
  operator: string;
  finishedAt: string | null;
}

test('the history says outcome, times and who, and keeps to a terminal', async (t) => {
  const subject = await shop(
    t,
    server,
    'gate: open\nverify: [row-counts]\nmigrate: [command: { run: "sleep 1" }]',
  );
  const { work, env, name } = subject;
  await server.sql(`create database ${name}_green`);
  t.is((await work.cutover(['run', 'playbook.yml'], env)).code, 3);
  await server.sql(`drop database ${name}_green`);
  t.is((await work.cutover(['run', 'playbook.yml'], env)).code, 0);
  t.is((await work.cutover(['swap-back', '--yes'], env)).code, 0);
  const rows = JSON.parse((await work.cutover(['runs', '--json'])).out) as Row[];
  t.deepEqual(
    rows.map(({ phase, exit }) => [phase, exit]),
    [
      ['refused', 3],
      ['swapped back', 0],
    ],
  );
  t.is(rows[0]!.heldMs, null);
  const { heldMs, tookMs, operator } = rows[1]!;
  // The migration lies between fence and switch.
  t.true(heldMs! >= 1000 && heldMs! <= tookMs!, `${heldMs} of ${tookMs}`);
  t.regex(operator, /.+@/);
  const { out } = await work.cutover(['runs']);
  t.regex(out, /^run +playbook +outcome +live +exit +took +held +by$/m);
  t.regex(out, /swapped back +blue +0 +\d[\d.]* \w+ +\d[\d.]* s +.+@/);
  for (const line of out.split('\n')) t.true(line.length <= 100, line);
  const newest = JSON.parse((await work.cutover(['runs', '--json', '--limit', '1'])).out) as Row[];
  t.deepEqual(
    newest.map(({ run }) => run),
    [rows[1]!.run],
  );
  for (const wrong of [
    ['--limit', '0'],
    ['--limit', 'x'],
    ['--yes'],
    ['--limit', '1', '--prune', '1d'],
    ['--prune', 'old'],
  ])
    t.is((await work.cutover(['runs', ...wrong])).code, 2, wrong.join(' '));
});

const refused: readonly EventBody[] = [created, { type: 'run-finished', outcome: 'refused', exit: 3 }];
const unwound: readonly EventBody[] = [created, { type: 'run-finished', outcome: 'unwound', exit: 4 }];
const stuck: readonly EventBody[] = [created, { type: 'run-finished', outcome: 'stuck', exit: 7 }];
const completed = wholeLife.slice(0, wholeLife.findIndex(({ type }) => type === 'run-finished') + 1);
const swappedBack = wholeLife.slice(0, -2);

const approvedUntil = (until: string): readonly EventBody[] =>
  wholeLife.map((event) =>
    event.type === 'run-created'
      ? { ...event, approval: { id: 'x', by: 'ana@ops1', at: until, until, signed: false } }
      : event,
  );

/** Of every kind one; the year says which are old, by their own events. */
const RUNS: readonly [string, readonly EventBody[], 'goes' | 'stays'][] = [
  ['1-refused', refused, 'goes'],
  ['2-unwound', unwound, 'goes'],
  ['3-retired', wholeLife, 'goes'],
  ['4-used-up', approvedUntil('2020-01-01T00:00:00.000Z'), 'goes'],
  ['5-approved', approvedUntil('2999-01-01T00:00:00.000Z'), 'stays'],
  ['6-running', [created], 'stays'],
  ['7-stuck', stuck, 'stays'],
  ['8-completed', completed, 'stays'],
  ['9-swapped-back', swappedBack, 'stays'],
];

async function pruned(
  t: ExecutionContext,
  store: JournalStore,
  state: string[],
  env: Record<string, string>,
): Promise<void> {
  const work = await workplace(t);
  for (const [run, events] of RUNS) {
    const journal = await store.create(run);
    for (const event of events)
      await journal.append(
        event.type === 'run-created' ? { ...event, run, plan: { ...event.plan, run } } : event,
      );
    await journal.close();
  }
  const all = RUNS.map(([run]) => run);
  const prune = (...args: string[]) => work.cutover(['runs', '--prune', ...args, ...state], env);
  const young = await prune('1h', '--yes');
  t.is(young.code, 0, young.err);
  t.regex(young.err, /There are no runs over for more than 1 h/);
  t.deepEqual(await store.list(), all);
  const asks = await prune('1ms');
  t.is(asks.code, 3, asks.err);
  t.regex(asks.err, /1-refused[^]*removing 4 runs[^]*cutover [^\n]*runs --prune 1ms --yes/);
  t.deepEqual(await store.list(), all);
  // Somebody works on it: it stays, and the others go.
  const holder = await store.open('2-unwound');
  const held = await prune('1ms', '--yes');
  t.is(held.code, 3, held.err);
  t.regex(held.err, /2-unwound {2}stays: another process works on run 2-unwound/);
  t.regex(held.out, /^removed 1-refused {2}shop {2}refused, ended \d{4}-/);
  await holder.close();
  const rest = await prune('1ms', '--yes', '--json');
  t.deepEqual(JSON.parse(rest.out), { removed: ['2-unwound'] });
  t.deepEqual(
    await store.list(),
    RUNS.filter(([, , fate]) => fate === 'stays').map(([run]) => run),
  );
  for (const [run, events, fate] of RUNS)
    if (fate === 'stays') t.is((await store.read(run)).length, events.length);
}

test('prune removes what is over, and nothing else: folder', async (t) => {
  const { folder } = await workplace(t);
  await pruned(t, new FileJournalStore(folder), ['--state', folder], {});
  t.deepEqual((await readdir(folder)).sort(), ['runs']);
});

test('prune removes what is over, and nothing else: PostgreSQL', async (t) => {
  const url = server.url(await server.database('journals'));
  const store = new PostgresJournalStore(url);
  t.teardown(() => store.end());
  await pruned(t, store, ['--state', '${STATE_URL}'], { STATE_URL: url });
});

test('prune leaves a damaged journal alone', async (t) => {
  const { folder } = await workplace(t);
  const store = new FileJournalStore(folder);
  const journal = await store.create('1-damaged');
  for (const event of refused) await journal.append(event);
  await journal.close();
  await appendFile(join(folder, 'runs/1-damaged/journal.jsonl'), 'x\n');
  const work = await workplace(t);
  const { code, err } = await work.cutover(['runs', '--prune', '1ms', '--yes', '--state', folder]);
  t.is(code, 0, err);
  t.regex(err, /1-damaged {2}cannot be read, and stays/);
  t.deepEqual(await store.list(), ['1-damaged']);
});
