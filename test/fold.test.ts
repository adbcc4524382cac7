import { isDeepStrictEqual } from 'node:util';
import test from 'ava';
import * as fc from 'fast-check';
import type { Event, EventBody } from '../src/core/event.ts';
import { fold, IllegalTransitionError, transition, type RunState } from '../src/journal/fold.ts';
import { onlyInCopy } from '../src/journal/state.ts';
import { created, error, everything, IDS, stamp, wholeLife } from './helpers/events.ts';

test('every beginning of a whole life folds, and its end is retired with blue live', (t) => {
  const phases = wholeLife.map((_, index) => fold(stamp(wholeLife.slice(0, index + 1))).phase);
  t.deepEqual(
    [...new Set(phases)],
    ['running', 'completed', 'swapping back', 'swapped back', 'retiring', 'retired'],
  );
  const end = fold(stamp(wholeLife));
  t.is(end.live, 'blue');
  t.is(end.retired, 'shop_green');
  t.deepEqual(end.steps['clone']!.output, { id: 'clone' });
});

test('what a swap back left behind is known until the copy is dropped, although a switch was called off since', (t) => {
  const moved = wholeLife.findIndex(({ type }) => type === 'swap-back-started');
  const state = fold(
    stamp([
      ...wholeLife.slice(0, moved),
      { type: 'swap-back-started', operator: 'me', acceptDataLoss: true, to: 'blue' },
      { type: 'swap-back-passed-over', to: 'blue', transaction: 'two rows' },
      { type: 'swap-back-counted', leftBehind: ['a row', 'two rows'] },
      { type: 'ownership-moved', from: 'green', to: 'blue' },
      { type: 'swap-back-finished', ms: 1, leftBehind: ['a row', 'two rows'] },
      { type: 'swap-back-started', operator: 'me', acceptDataLoss: false, to: 'green' },
      { type: 'swap-back-counted', leftBehind: [] },
      { type: 'swap-back-started', operator: 'me', acceptDataLoss: false, to: 'green' },
      { type: 'swap-back-failed', error, settled: true },
    ]),
  );
  t.is(state.phase, 'swapped back');
  t.deepEqual(state.leftBehind, ['a row', 'two rows']);
  t.deepEqual(onlyInCopy({ ...state, leftBehind: [] }), ['two rows']);
});

test('a failed run unwinds, gets stuck, and is unwound again later', (t) => {
  const events: EventBody[] = [
    created,
    { type: 'step-started', step: 'preflight' },
    { type: 'step-succeeded', step: 'preflight', ms: 1, output: {} },
    { type: 'step-started', step: 'fence' },
    { type: 'step-failed', step: 'fence', ms: 1, error },
    { type: 'undo-started', step: 'fence' },
    { type: 'undo-failed', step: 'fence', error },
    { type: 'run-finished', outcome: 'stuck', exit: 7, error },
    { type: 'undo-started', step: 'fence' },
    { type: 'undo-finished', step: 'fence' },
    { type: 'run-finished', outcome: 'unwound', exit: 4 },
  ];
  t.is(fold(stamp(events.slice(0, 8))).phase, 'stuck');
  const end = fold(stamp(events));
  t.is(end.phase, 'unwound');
  t.is(end.steps['fence']!.phase, 'undone');
});

const illegal: readonly [string, readonly EventBody[]][] = [
  ['a second beginning', [created, created]],
  ['no beginning', [{ type: 'step-started', step: 'fence' }]],
  ['an unknown step', [created, { type: 'step-started', step: 'nobody' }]],
  ['success without a start', [created, { type: 'step-succeeded', step: 'fence', ms: 1, output: {} }]],
  ['an undo of what never began', [created, { type: 'undo-started', step: 'fence' }]],
  ['ownership moved from the wrong side', [created, { type: 'ownership-moved', from: 'green', to: 'blue' }]],
  [
    'a step after the end',
    [
      created,
      { type: 'run-finished', outcome: 'completed', exit: 0 },
      { type: 'step-started', step: 'fence' },
    ],
  ],
  [
    'a swap back of a run that goes on',
    [created, { type: 'swap-back-started', operator: 'me', acceptDataLoss: false }],
  ],
  [
    'a resume over a step that was not done',
    [created, { type: 'run-resumed', operator: 'me', from: 'clone', found: [] }],
  ],
  [
    'a resume of a run that failed',
    [
      created,
      { type: 'step-started', step: 'preflight' },
      { type: 'step-failed', step: 'preflight', ms: 1, error },
      { type: 'run-resumed', operator: 'me', from: 'preflight', found: [] },
    ],
  ],
  [
    'a resume before the switch of a run that has moved',
    [...wholeLife.slice(0, 9), { type: 'run-resumed', operator: 'me', from: 'clone', found: [] }],
  ],
  [
    'a retry of a step that is not under way',
    [created, { type: 'step-retried', step: 'fence', attempt: 1, waitMs: 1, error }],
  ],
  ['retiring a run that goes on', [created, { type: 'retire-started', operator: 'me', database: 'x' }]],
  [
    'a swap back that is finished with green live',
    [
      ...wholeLife.slice(0, 11),
      { type: 'swap-back-started', operator: 'me', acceptDataLoss: false },
      { type: 'swap-back-finished', ms: 1, leftBehind: [] },
    ],
  ],
  [
    'a transaction that is passed over when nobody swaps back',
    [...wholeLife.slice(0, 11), { type: 'swap-back-passed-over', to: 'blue', transaction: 'a row' }],
  ],
];
for (const [what, bodies] of illegal) {
  test(`${what} is an illegal transition`, (t) => {
    t.throws(() => fold(stamp(bodies)), { instanceOf: IllegalTransitionError });
  });
}

/** The state after an event, or undefined when it cannot come there. */
function after(state: RunState, body: EventBody, seq: number): RunState | undefined {
  try {
    return transition(state, { ...body, seq, at: '2026-11-20T00:00:00.000Z' });
  } catch (thrown) {
    if (thrown instanceof IllegalTransitionError) return undefined;
    throw thrown;
  }
}

const ENDED = ['retired', 'unwound', 'refused'];
const phaseOf = (state: RunState, id: string): string => state.steps[id]!.phase;

/** What no transition may ever do; a line about what it did, or undefined. */
function breach(before: RunState, event: EventBody, next: RunState): string | undefined {
  if (ENDED.includes(before.phase)) return `an ended run went on with ${event.type}`;
  if (next.live !== before.live && event.type !== 'ownership-moved') return 'ownership moved by itself';
  if (next.phase === 'swapped back' && next.live !== 'blue') return 'swapped back, and green is live';
  if (event.type === 'swap-back-failed' && event.settled && next.phase !== 'completed') return 'not settled';
  for (const id of IDS) {
    const [was, is] = [phaseOf(before, id), phaseOf(next, id)];
    if (is === 'done' && was !== 'done' && was !== 'running') return `${id} was done without being begun`;
    if (was !== 'waiting' && is === 'waiting') return `${id} was begun, and nobody knows any more`;
  }
  if (event.type !== 'run-resumed') return undefined;
  const at = IDS.indexOf(event.from as (typeof IDS)[number]);
  const moving = IDS.indexOf('switch');
  if (IDS.slice(0, at).some((id) => phaseOf(next, id) !== 'done'))
    return 'resumed over a step that was not done';
  if (IDS.slice(at).some((id) => !['waiting', 'again'].includes(phaseOf(next, id)))) return 'not begun anew';
  if (next.live === 'blue' ? at > moving : at < moving) return 'resumed on the wrong side of the switch';
  return undefined;
}

test('whatever comes, a state is legal or the transition throws', (t) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...everything), { maxLength: 80 }), (bodies) => {
      let state: RunState = fold(stamp([created]));
      for (const [index, body] of bodies.entries()) {
        const next = after(state, body, index + 2);
        if (!next) continue;
        const broken = breach(state, body, next);
        if (broken) throw new Error(broken);
        state = next;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

/** A long life in which every event may come where it does: the numbers choose among those that may. */
function walk(choices: readonly number[]): Event[] {
  const bodies: EventBody[] = [created];
  let state = fold(stamp(bodies));
  for (const choice of choices) {
    const legal = everything.filter((body) => after(state, body, bodies.length + 1) !== undefined);
    if (legal.length === 0) break;
    const body = legal[choice % legal.length]!;
    const next = after(state, body, bodies.length + 1)!;
    const broken = breach(state, body, next);
    if (broken) throw new Error(broken);
    bodies.push(body);
    state = next;
  }
  return stamp(bodies);
}

const choices = fc.array(fc.nat(1000), { maxLength: 60 });

test('long legal lives keep every promise, and every beginning of one folds to where it came from', (t) => {
  fc.assert(
    fc.property(choices, fc.nat(60), (numbers, cut) => {
      const events = walk(numbers);
      // A crash leaves the journal at any event: what was folded up to there is the state, and going on gives the rest.
      const beginning = events.slice(0, Math.max(1, Math.min(cut, events.length)));
      const on = events.slice(beginning.length).reduce(transition, fold(beginning));
      if (!isDeepStrictEqual(on, fold(events))) throw new Error('folding in two parts gives something else');
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('two processes that write by turns are found out, or break nothing', (t) => {
  fc.assert(
    fc.property(choices, choices, fc.array(fc.boolean(), { maxLength: 120 }), (one, two, turns) => {
      const [first, second] = [walk(one).slice(1), walk(two).slice(1)];
      let state = fold(stamp([created]));
      for (const [index, turn] of turns.entries()) {
        const event = turn ? first.shift() : second.shift();
        if (!event) continue;
        const next = after(state, event, index + 2);
        if (!next) return;
        const broken = breach(state, event, next);
        if (broken) throw new Error(broken);
        state = next;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('a resumed run executes its steps once more, and takes back what was begun before', (t) => {
  const events: EventBody[] = [
    ...wholeLife.slice(0, 7),
    { type: 'run-resumed', operator: 'you', from: 'fence', found: ['blue accepts connections'] },
  ];
  const state = fold(stamp(events));
  t.deepEqual(
    IDS.map((id) => phaseOf(state, id)),
    ['done', 'again', 'again', 'waiting'],
  );
  t.deepEqual(
    state.resumed.map(({ operator }) => operator),
    ['you'],
  );
  const undone = fold(
    stamp([...events, { type: 'undo-started', step: 'clone' }, { type: 'undo-finished', step: 'clone' }]),
  );
  t.is(phaseOf(undone, 'clone'), 'undone');
});
