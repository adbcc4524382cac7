import type { Event, EventBody } from '../../src/core/event.ts';
import type { Plan, PlannedStep } from '../../src/core/plan.ts';

const step = (id: string, kind: PlannedStep['kind']): PlannedStep => ({
  id,
  kind,
  title: id,
  does: [],
  undo: '',
  ownership: kind === 'switch' ? 'moves' : 'keeps',
  input: {},
});

const plan = {
  format: 1,
  name: 'shop',
  run: 'r1',
  playbook: { file: '/p.yml', folder: '/', sha256: '' },
  source: { kind: 'url', url: '${DATABASE_URL}' },
  names: { blue: 'shop', green: 'shop_green', previous: 'shop_previous' },
  renames: true,
  migrate: [],
  verify: [],
  targets: [],
  expect: { renamed: {}, dropped: [], changed: [] },
  steps: [
    step('preflight', 'preflight'),
    step('fence', 'fence'),
    step('clone', 'clone'),
    step('switch', 'switch'),
  ],
} as unknown as Plan;

/** The first event of a run with four steps. */
export const created: EventBody = { type: 'run-created', run: 'r1', operator: 'me', plan };
export const error = { message: 'no', kind: 'StepError' };

/** Numbers and times for events. */
export const stamp = (bodies: readonly EventBody[]): Event[] =>
  bodies.map((body, index) => ({ ...body, seq: index + 1, at: new Date(index * 1000).toISOString() }));

/** From the beginning to the retirement. */
export const wholeLife: readonly EventBody[] = [
  created,
  ...(['preflight', 'fence', 'clone'] as const).flatMap((id): EventBody[] => [
    { type: 'step-started', step: id },
    { type: 'step-succeeded', step: id, ms: 5, output: { id } },
  ]),
  { type: 'step-started', step: 'switch' },
  { type: 'ownership-moved', from: 'blue', to: 'green' },
  { type: 'step-succeeded', step: 'switch', ms: 5, output: {} },
  { type: 'run-finished', outcome: 'completed', exit: 0 },
  { type: 'swap-back-started', operator: 'me', acceptDataLoss: false },
  { type: 'ownership-moved', from: 'green', to: 'blue' },
  { type: 'swap-back-finished', ms: 5, leftBehind: [] },
  { type: 'retire-started', operator: 'me', database: 'shop_green' },
  { type: 'retire-finished', database: 'shop_green' },
];

/** The steps of that run. */
export const IDS = ['preflight', 'fence', 'clone', 'switch'] as const;

/** Every event that there is, for every step and side. */
export const everything: readonly EventBody[] = [
  ...[...IDS, 'nobody'].flatMap((step): EventBody[] => [
    { type: 'step-started', step },
    { type: 'step-retried', step, attempt: 1, waitMs: 1, error },
    { type: 'step-progressed', step, done: 1, total: 2, unit: 'rows' },
    { type: 'step-succeeded', step, ms: 1, output: {} },
    { type: 'step-failed', step, ms: 1, error },
    { type: 'undo-started', step },
    { type: 'undo-finished', step },
    { type: 'undo-failed', step, error },
    { type: 'gate-opened', step, question: '?' },
    { type: 'gate-answered', step, answer: 'go', by: 'me' },
    { type: 'run-resumed', operator: 'me', from: step, found: [] },
  ]),
  { type: 'ownership-moved', from: 'blue', to: 'green' },
  { type: 'ownership-moved', from: 'green', to: 'blue' },
  ...(['completed', 'unwound', 'refused', 'stuck'] as const).map((outcome): EventBody => ({
    type: 'run-finished',
    outcome,
    exit: 0,
  })),
  { type: 'swap-back-started', operator: 'me', acceptDataLoss: true },
  { type: 'swap-back-counted', leftBehind: ['a row'] },
  { type: 'swap-back-passed-over', to: 'blue', transaction: 'two rows' },
  { type: 'swap-back-finished', ms: 1, leftBehind: [] },
  { type: 'swap-back-failed', error, settled: true },
  { type: 'swap-back-failed', error, settled: false },
  { type: 'retire-started', operator: 'me', database: 'x' },
  { type: 'retire-finished', database: 'x' },
  { type: 'retire-failed', error },
];
