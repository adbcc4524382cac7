import type { Event } from '../core/event.ts';
import { afterwards } from './afterwards.ts';
import {
  illegal,
  IllegalTransitionError,
  require,
  type RunState,
  type StepPhase,
  type StepState,
} from './state.ts';

export { BEFORE_THE_END, IllegalTransitionError, UNSETTLED } from './state.ts';
export type { RunPhase, RunState, StepPhase, StepState } from './state.ts';

/** Folds a run's events. Throws IllegalTransitionError on an order of events that cannot be. */
export function fold(events: readonly Event[]): RunState {
  const [first, ...rest] = events;
  if (first?.type !== 'run-created') throw new IllegalTransitionError('a journal begins with run-created');
  const created: RunState = {
    run: first.run,
    plan: first.plan,
    phase: 'running',
    live: 'blue',
    operator: first.operator,
    approval: first.approval,
    window: first.window,
    resumed: [],
    startedAt: first.at,
    endedAt: undefined,
    finishedAt: undefined,
    exit: undefined,
    held: undefined,
    error: undefined,
    steps: Object.fromEntries(
      first.plan.steps.map((step) => [step.id, { phase: 'waiting', findings: [] } as const]),
    ),
    switchedAt: undefined,
    retired: undefined,
    leftBehind: [],
    leftBefore: [],
    passedOver: { blue: [], green: [] },
    closed: undefined,
    heading: 'blue',
  };
  return rest.reduce(transition, created);
}

const moved = (state: RunState, { to, closed, at }: Event & { type: 'ownership-moved' }): RunState => ({
  ...state,
  live: to,
  closed,
  switchedAt: to === 'green' ? at : state.switchedAt,
});

const finished = (state: RunState, event: Event & { type: 'run-finished' }): RunState => ({
  ...state,
  phase: event.outcome,
  held: undefined,
  exit: event.exit,
  endedAt: event.at,
  finishedAt: event.at,
  error: event.error ?? state.error,
});

const held = (state: RunState, event: Event & { type: 'run-held' }): RunState => {
  require(state, event, ['running']);
  if (state.live !== 'blue' || !state.plan.live) throw illegal(state, event);
  const { at, reason, exit, error } = event;
  return { ...state, phase: 'held', held: { at, reason }, exit, error };
};

/** Every legal transition of a run, in one place. */
export function transition(state: RunState, event: Event): RunState {
  switch (event.type) {
    case 'run-created':
      throw illegal(state, event);
    case 'run-resumed':
      return resumed(state, event);
    case 'step-started':
      require(state, event, ['running']);
      return withStep(state, event, event.step, ['waiting', 'again'], {
        phase: 'running',
        startedAt: event.at,
      });
    case 'step-retried':
      require(state, event, ['running', 'swapping back']);
      return state.phase === 'running' ? withStep(state, event, event.step, ['running'], {}) : state;
    case 'step-progressed':
      require(state, event, ['running', 'unwinding', 'swapping back']);
      return state;
    case 'step-succeeded':
      require(state, event, ['running']);
      return withStep(state, event, event.step, ['running'], {
        phase: 'done',
        ms: event.ms,
        output: event.output,
        findings: event.findings ?? [],
      });
    case 'step-failed':
      require(state, event, ['running']);
      return withStep({ ...state, error: event.error }, event, event.step, ['running'], {
        phase: 'failed',
        ms: event.ms,
        error: event.error,
        findings: event.findings ?? [],
      });
    case 'undo-started':
      // A stuck run may be unwound again, once the cause has gone.
      require(state, event, ['running', 'held', 'unwinding', 'stuck']);
      return withStep({ ...state, phase: 'unwinding', held: undefined }, event, event.step, UNDOABLE, {
        phase: 'undoing',
      });
    case 'undo-finished':
      require(state, event, ['unwinding']);
      return withStep(state, event, event.step, ['undoing'], { phase: 'undone' });
    case 'undo-failed':
      require(state, event, ['unwinding']);
      return withStep(state, event, event.step, ['undoing'], { phase: 'undo failed', error: event.error });
    case 'gate-opened':
    case 'gate-answered':
      require(state, event, ['running']);
      return state;
    case 'ownership-moved':
      require(state, event, ['running', 'unwinding', 'swapping back']);
      if (state.live !== event.from) throw illegal(state, event);
      return moved(state, event);
    case 'run-held':
      return held(state, event);
    case 'run-finished':
      require(state, event, ['running', 'held', 'unwinding', 'stuck']);
      return finished(state, event);
    case 'swap-back-started':
    case 'swap-back-counted':
    case 'swap-back-passed-over':
    case 'swap-back-finished':
    case 'swap-back-failed':
    case 'retire-started':
    case 'retire-finished':
    case 'retire-failed':
      return afterwards(state, event);
  }
}

const UNDOABLE: readonly StepPhase[] = ['again', 'running', 'done', 'failed', 'undoing', 'undo failed'];

/** What was done before the step stays; whether ownership has moved must agree with what comes next. */
function resumed(state: RunState, event: Extract<Event, { type: 'run-resumed' }>): RunState {
  require(state, event, ['running', 'held']);
  const { steps } = state.plan;
  const from = steps.findIndex(({ id }) => id === event.from);
  const moving = steps.findIndex(({ ownership }) => ownership === 'moves');
  const phaseOf = (index: number): StepPhase => state.steps[steps[index]!.id]!.phase;
  const fits = state.live === 'blue' ? from <= moving : from >= moving;
  if (from === -1 || !fits || steps.slice(0, from).some((_, index) => phaseOf(index) !== 'done'))
    throw illegal(state, event);
  const reset = steps.slice(from).map(({ id }, index): [string, StepState] => {
    const phase = phaseOf(from + index);
    // What failed in a run that is held is what it was held for.
    const over = ['undoing', 'undone', 'undo failed', ...(state.held ? [] : ['failed'])];
    if (over.includes(phase)) throw illegal(state, event);
    return [id, { phase: phase === 'waiting' ? phase : 'again', findings: [] }];
  });
  return {
    ...state,
    phase: 'running',
    window: event.window ?? state.window,
    held: undefined,
    exit: undefined,
    error: undefined,
    resumed: [...state.resumed, { at: event.at, operator: event.operator }],
    steps: { ...state.steps, ...Object.fromEntries(reset) },
  };
}

function withStep(
  state: RunState,
  event: Event,
  id: string,
  from: readonly StepPhase[],
  change: Partial<StepState>,
): RunState {
  const step = state.steps[id];
  if (!step || !from.includes(step.phase)) throw illegal(state, event, step?.phase);
  return { ...state, steps: { ...state.steps, [id]: { ...step, ...change } } };
}
