import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as api from '@opentelemetry/api';
import ava, { type ExecutionContext } from 'ava';
import type { Event } from '../src/core/event.ts';
import type { Plan } from '../src/core/plan.ts';
import { RunSpans } from '../src/run/spans.ts';
import { addSecret } from '../src/util/redact.ts';
import { eventsOf } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { lineOf, type SpanLine } from './helpers/spans.ts';
import { windowScene } from './helpers/windows.ts';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';

const test = ava.serial;
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

const ERROR = 2;

async function scene(t: ExecutionContext, lines: string) {
  const made = await windowScene(t, server, lines);
  const file = join(made.work.folder, 'spans');
  const env = {
    ...made.env,
    SPANS_FILE: file,
    NODE_OPTIONS: `--import=${new URL('./helpers/spans.ts', import.meta.url).href}`,
  };
  const spans = async (): Promise<SpanLine[]> =>
    (await readFile(file, 'utf8').catch(() => ''))
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as SpanLine);
  return { ...made, env, spans };
}

const rootOf = (spans: readonly SpanLine[]): SpanLine => spans.find(({ parent }) => parent === undefined)!;

test('a run has a span, and one for each step below it', async (t) => {
  const { work, env, spans } = await scene(t, 'verify: [row-counts]');
  const { code, err } = await work.cutover(['run', 'playbook.yml'], env);
  t.is(code, 0, err);
  t.notRegex(err, /spans/);
  const all = await spans();
  const root = rootOf(all);
  const events = await eventsOf(work);
  const [created] = events;
  t.is(root.name, 'cutover run');
  const { 'cutover.pause_ms': pause, ...attributes } = root.attributes;
  t.deepEqual(attributes, {
    'cutover.run': created?.type === 'run-created' && created.run,
    'cutover.playbook': 'shop',
    'cutover.resumed': false,
    'cutover.live_side': 'green',
    'cutover.outcome': 'completed',
    'cutover.exit_code': 0,
  });
  const of = (type: Event['type'], step: string): number =>
    Date.parse(events.find((event) => event.type === type && 'step' in event && event.step === step)!.at);
  t.is(pause, of('step-succeeded', 'switch') - of('step-started', 'fence'));
  t.is(root.status.code, 0);
  const steps = events.flatMap((event) => (event.type === 'step-started' ? [`step ${event.step}`] : []));
  const below = all.filter(({ parent }) => parent === root.id);
  t.deepEqual(
    below.map(({ name }) => name),
    steps,
  );
  t.is(all.length, steps.length + 1);
  for (const each of below) {
    t.is(each.trace, root.trace);
    t.is(each.attributes['cutover.run'], root.attributes['cutover.run']);
    const step = String(each.attributes['cutover.step']);
    t.is(Math.round(each.ms), of('step-succeeded', step) - of('step-started', step), step);
  }
});

test('a run that fails says so, with what was put back', async (t) => {
  const { work, env, spans } = await scene(t, 'migrate: [command: { run: "exit 9" }]');
  const { code, err } = await work.cutover(['run', 'playbook.yml'], env);
  t.is(code, 4, err);
  const all = await spans();
  const root = rootOf(all);
  t.is(root.attributes['cutover.outcome'], 'unwound');
  t.is(root.attributes['cutover.exit_code'], 4);
  t.is(root.attributes['cutover.live_side'], 'blue');
  t.true(Number(root.attributes['cutover.pause_ms']) > 0);
  t.is(root.status.code, ERROR);
  const failed = all.filter(({ status }) => status.code === ERROR && status !== root.status);
  t.deepEqual(
    failed.map(({ name }) => name.replace(/migrate.*/, 'migrate')).filter((name) => name !== 'cutover run'),
    ['step migrate'],
  );
  t.truthy(failed[0]!.status.message);
  const undone = all.filter(({ name }) => name.startsWith('undo ')).map(({ name }) => name);
  t.true(undone.includes('undo clone') && undone.includes('undo fence'), undone.join());
});

test('a run that is gone on with has a span of its own, with the same run', async (t) => {
  const { work, env, spans } = await scene(
    t,
    `hooks: [{ before: verify, run: 'test -e again || { touch again; kill -9 $PPID; }' }]`,
  );
  const killed = await work.cutover(['run', 'playbook.yml'], env);
  t.is(killed.signal, 'SIGKILL', killed.err);
  // A process that is killed sends nothing.
  t.deepEqual(await spans(), []);
  const { code, err } = await work.cutover(['resume', '--yes'], env);
  t.is(code, 0, err);
  const all = await spans();
  const root = rootOf(all);
  t.is(root.name, 'cutover resume');
  const [created] = await eventsOf(work);
  t.is(root.attributes['cutover.run'], created?.type === 'run-created' && created.run);
  t.is(root.attributes['cutover.resumed'], true);
  t.is(root.attributes['cutover.outcome'], 'completed');
  t.is(root.attributes['cutover.live_side'], 'green');
  t.true(all.some(({ name, parent }) => name === 'step switch' && parent === root.id));
  t.false(all.some(({ name }) => name === 'step preflight'));
  t.true(Number(root.attributes['cutover.pause_ms']) > 0);
});

test('an exporter that never answers keeps nobody', async (t) => {
  const { work, env } = await scene(t, 'verify: []');
  const { code, err } = await work.cutover(['run', 'playbook.yml'], { ...env, SPANS_AWAY: '1' });
  t.is(code, 0, err);
  t.regex(err, /spans cannot be sent: the exporter does not answer/);
});

test('secrets are blotted out of what a span says', async (t) => {
  addSecret('heron-7171');
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  api.trace.setGlobalTracerProvider(provider);
  t.teardown(() => api.trace.disable());
  const plan = { run: 'r', name: 'shop', steps: [{ id: 'migrate', kind: 'migrate' }] } as unknown as Plan;
  const spans = new RunSpans(api, { plan, live: 'blue', resumed: false });
  const at = { seq: 1, at: '2026-11-22T03:30:00.000Z' };
  const error = { message: 'no login with heron-7171', kind: 'StepError' };
  spans.event({ type: 'step-started', step: 'migrate', ...at });
  spans.event({ type: 'step-retried', step: 'migrate', attempt: 1, waitMs: 1, error, ...at });
  spans.event({ type: 'step-failed', step: 'migrate', ms: 1, error, ...at });
  spans.event({ type: 'run-finished', outcome: 'unwound', exit: 4, error, ...at });
  await spans.end();
  const made = exporter.getFinishedSpans();
  t.is(made.length, 2);
  const text = JSON.stringify(made.map((span) => [lineOf(span), span.events]));
  t.regex(text, /no login with \*\*\*/);
  t.notRegex(text, /heron/);
  for (const span of made) t.is(span.status.message, 'no login with ***');
});

test('a run that is held on purpose is settled', async (t) => {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  api.trace.setGlobalTracerProvider(provider);
  t.teardown(() => api.trace.disable());
  const plan = { run: 'r', name: 'shop', steps: [] } as unknown as Plan;
  const spans = new RunSpans(api, { plan, live: 'blue', resumed: false });
  spans.event({ type: 'run-held', reason: 'prepared', exit: 0, seq: 1, at: '2026-11-22T03:30:00.000Z' });
  await spans.end();
  const [made] = exporter.getFinishedSpans();
  t.is(made!.attributes['cutover.outcome'], 'held');
  t.is(made!.status.code, api.SpanStatusCode.UNSET);
});
