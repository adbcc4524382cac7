import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import type { EventBody } from '../src/core/event.ts';
import { fold } from '../src/journal/fold.ts';
import { metricsText } from '../src/report/metrics.ts';
import { eventsOf } from './helpers/cli.ts';
import { created, error, stamp, wholeLife } from './helpers/events.ts';
import { isInstalled } from './helpers/installed.ts';
import { readOpenMetrics, valueOf } from './helpers/openmetrics.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { opened, windowScene } from './helpers/windows.ts';
import { until } from './helpers/until.ts';

const test = ava.serial;
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

const scene = (t: ExecutionContext, lines: string) => windowScene(t, server, lines);

const state = (bodies: readonly EventBody[]) => fold(stamp(bodies));
const finished = (outcome: 'unwound' | 'refused' | 'stuck'): EventBody[] => [
  created,
  { type: 'run-finished', outcome, exit: 4, error },
];

test('what the journals say, in lines that the format allows', (t) => {
  const states = [state(finished('unwound')), state(finished('stuck')), state(wholeLife)];
  const samples = readOpenMetrics(
    metricsText({ states, damaged: 2, openings: new Map([['shop', 1_800_000_000_000]]), lags: new Map() }),
  );
  const of = (name: string, labels = {}): number | undefined => valueOf(samples, name, labels);
  t.is(of('cutover_last_run_timestamp_seconds'), 0);
  t.is(of('cutover_last_run_exit_code'), 0);
  t.is(of('cutover_last_run_outcome', { outcome: 'retired' }), 1);
  t.is(samples.filter(({ name, value }) => name === 'cutover_last_run_outcome' && value === 1).length, 1);
  t.is(of('cutover_step_duration_seconds', { step: 'clone' }), 0.005);
  t.is(of('cutover_live_side', { side: 'blue' }), 1);
  t.is(of('cutover_live_side', { side: 'green' }), 0);
  t.is(of('cutover_runs_total', { outcome: 'completed' }), 1);
  t.is(of('cutover_runs_total', { outcome: 'unwound' }), 1);
  t.is(of('cutover_runs_total', { outcome: 'refused' }), 0);
  t.is(of('cutover_runs_unsettled'), 1);
  t.is(of('cutover_journals_damaged'), 2);
  t.is(of('cutover_next_window_timestamp_seconds', { playbook: 'shop' }), 1_800_000_000);
});

test('a counter never goes back, whatever becomes of a run', (t) => {
  let before = 0;
  for (let length = 1; length <= wholeLife.length; length += 1) {
    const text = metricsText({
      states: [state(wholeLife.slice(0, length))],
      damaged: 0,
      openings: new Map(),
      lags: new Map(),
    });
    const ended = valueOf(readOpenMetrics(text), 'cutover_runs_total', { outcome: 'completed' })!;
    t.true(ended >= before, `after event ${length}`);
    before = ended;
  }
  t.is(before, 1);
});

const pause = (given: readonly EventBody[]): number | undefined =>
  valueOf(
    readOpenMetrics(
      metricsText({ states: [state(given)], damaged: 0, openings: new Map(), lags: new Map() }),
    ),
    'cutover_pause_seconds',
  );

test('a pause is what clients felt: from the fence to the end of the switch, or how long they were held', (t) => {
  const switched = wholeLife.slice(
    0,
    wholeLife.findIndex(({ type }) => type === 'run-finished'),
  );
  const bodies = switched.map((body): EventBody =>
    body.type === 'step-succeeded' && body.step === 'switch'
      ? { ...body, ms: 500, output: { ms: 40 } }
      : body,
  );
  // The fence began at the third second, the switch at the seventh.
  t.is(pause(bodies), 4.5);
  const [first, ...rest] = bodies as [EventBody & { type: 'run-created' }, ...EventBody[]];
  t.is(pause([{ ...first, plan: { ...first.plan, live: {} as never } }, ...rest]), 0.04);
});

test('names are escaped, and nothing but names becomes a label', (t) => {
  const odd = 'a"b\\c\nd';
  const named = created as EventBody & { type: 'run-created' };
  const text = metricsText({
    states: [state([{ ...named, plan: { ...named.plan, name: odd } }])],
    damaged: 0,
    openings: new Map(),
    lags: new Map(),
  });
  t.is(valueOf(readOpenMetrics(text), 'cutover_last_run_timestamp_seconds', { playbook: odd }), 0);
  t.is(
    readOpenMetrics(metricsText({ states: [], damaged: 0, openings: new Map(), lags: new Map() })).length,
    1,
  );
});

test('cutover metrics prints them, and puts them in the place of a file that others may read', async (t) => {
  const { work, env } = await scene(t, `window: ${opened(30, 'duration: 10m')}`);
  const run = await work.cutover(['run', 'playbook.yml'], env);
  t.is(run.code, 0, run.err);
  const { code, out, err } = await work.cutover(['metrics', 'playbook.yml'], env);
  t.is(code, 0, err);
  const samples = readOpenMetrics(out);
  t.is(valueOf(samples, 'cutover_last_run_outcome', { playbook: 'shop', outcome: 'completed' }), 1);
  t.is(valueOf(samples, 'cutover_live_side', { side: 'green' }), 1);
  t.true(valueOf(samples, 'cutover_pause_seconds', { step: 'switch' })! > 0);
  t.true(valueOf(samples, 'cutover_next_window_timestamp_seconds')! > Date.now() / 1000);
  for (const step of ['preflight', 'fence', 'clone', 'verify', 'switch', 'keep'])
    t.true(valueOf(samples, 'cutover_step_duration_seconds', { step })! >= 0, step);
  const damaged = join(work.folder, '.cutover/runs/20260101-000000-000000');
  await mkdir(damaged);
  await writeFile(join(damaged, 'journal.jsonl'), 'no journal\n');
  const file = join(work.folder, 'cutover.prom');
  t.is((await work.cutover(['metrics', '--output', 'cutover.prom'], env)).code, 0);
  t.is((await stat(file)).mode & 0o777, 0o644);
  const before = await stat(file);
  t.is((await work.cutover(['metrics', '--output', 'cutover.prom'], env)).code, 0);
  // Another file in its place: whoever reads the old one has all of it.
  t.not((await stat(file)).ino, before.ino);
  t.deepEqual(
    (await readdir(work.folder)).filter((name) => name.startsWith('cutover.prom')),
    ['cutover.prom'],
  );
  const text = await readFile(file, 'utf8');
  t.is(valueOf(readOpenMetrics(text), 'cutover_next_window_timestamp_seconds'), undefined);
  t.is(valueOf(readOpenMetrics(text), 'cutover_journals_damaged'), 1);
  t.is(valueOf(readOpenMetrics(text), 'cutover_last_run_exit_code'), 0);
  const bad = await work.cutover(['metrics', '--output', 'nowhere/x.prom'], env);
  t.is(bad.code, 2);
  t.regex(bad.err, /the metrics file cannot be written/);
  if (isInstalled('promtool'))
    t.is(execFileSync('promtool', ['check', 'metrics'], { input: text }).toString(), '');
});

const get = async (url: string, path: string, method = 'GET') => {
  const response = await fetch(new URL(path, url), { method });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
};

test('a scheduler answers at a port and keeps a file, before, while and after a run; nothing of it fails the run', async (t) => {
  const { work, env } = await scene(
    t,
    `window: ${opened(2, 'duration: 1h')}\nhooks: [{ before: clone, run: 'until test -e go; do sleep 0.1; done' }]`,
  );
  const { child, done } = work.start(
    ['schedule', 'playbook.yml', '--metrics-port', '0', '--metrics-file', 'm.prom'],
    env,
  );
  let err = '';
  child.stderr!.on('data', (chunk: string) => (err += chunk));
  await until('the port', () => /metrics are at \S+/.test(err));
  const url = /metrics are at (http:\/\/127\.0\.0\.1:\d+)\/metrics/.exec(err)![1]!;
  await until('the hook', async () =>
    (await eventsOf(work).catch(() => [])).some(
      (event) => event.type === 'step-started' && event.step.startsWith('hook'),
    ),
  );
  const during = await get(url, '/metrics');
  t.is(during.status, 200);
  t.is(during.type, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
  t.is(valueOf(readOpenMetrics(during.text), 'cutover_last_run_outcome', { outcome: 'running' }), 1);
  t.is((await get(url, '/metrics?x=1')).status, 200);
  t.is((await get(url, '/')).status, 404);
  t.is((await get(url, '/metrics', 'POST')).status, 405);
  // It is made anew after the run.
  await rm(join(work.folder, 'm.prom'));
  await work.file('go', '');
  await until('the file after the run', async () => {
    const text = await readFile(join(work.folder, 'm.prom'), 'utf8').catch(() => '');
    return (
      text !== '' && valueOf(readOpenMetrics(text), 'cutover_runs_total', { outcome: 'completed' }) === 1
    );
  });
  const after = readOpenMetrics((await get(url, '/metrics')).text);
  t.is(valueOf(after, 'cutover_last_run_exit_code'), 0);
  child.kill('SIGTERM');
  const outcome = await done;
  t.is(outcome.code, 0, outcome.err);
  await t.throwsAsync(get(url, '/metrics'));
});

test('metrics that cannot be offered are told at the start, before anything is run', async (t) => {
  const { work, env } = await scene(t, `window: ${opened(2, 'duration: 1h')}`);
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  t.teardown(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const cases: [string[], number, RegExp][] = [
    [['--metrics-port', String(port)], 3, /metrics cannot be offered at 127\.0\.0\.1:\d+: .*EADDRINUSE/],
    [['--metrics-port', '70000'], 2, /--metrics-port 70000 is no port/],
    [['--metrics-port', 'http'], 2, /--metrics-port http is no port/],
    [['--metrics-host', '::1'], 2, /of no use without --metrics-port/],
    [['--metrics-file', 'nowhere/m.prom'], 2, /the metrics file cannot be written/],
  ];
  for (const [words, code, says] of cases) {
    const outcome = await work.cutover(['schedule', 'playbook.yml', '--once', ...words], env);
    t.is(outcome.code, code, outcome.err);
    t.regex(outcome.err, says);
  }
  t.false((await readdir(work.folder)).includes('.cutover'));
});

test('a file that cannot be written any more is said once, and the run comes through', async (t) => {
  const { work, env } = await scene(
    t,
    `window: ${opened(2, 'duration: 1h')}\nhooks: [{ before: clone, run: rm -r kept }]`,
  );
  await mkdir(join(work.folder, 'kept'));
  const words = ['schedule', 'playbook.yml', '--once', '--metrics-file', 'kept/m.prom'];
  const { code, err } = await work.cutover(words, env);
  t.is(code, 0, err);
  t.regex(err, /the run ended with 0/);
  t.is(err.match(/the metrics file cannot be written/g)?.length, 1, err);
});
