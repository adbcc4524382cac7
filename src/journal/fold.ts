import type { Finding } from '../core/check.ts';
import type { ErrorRecord, Event, RunOutcome } from '../core/event.ts';
import type { Plan } from '../core/plan.ts';
import type { Side } from '../core/side.ts';

export type RunPhase =
  | 'running'
  | 'unwinding'
  | RunOutcome
  | 'swapping back'
  | 'swapped back'
  | 'retiring'
  | 'retired';

/** `again`: was begun by a process that died, and is to be executed once more. */
export type StepPhase =
  | 'waiting'
  | 'again'
  | 'running'
  | 'done'
  | 'failed'
  | 'undoing'
  | 'undone'
  | 'undo failed';

export interface StepState {
  readonly phase: StepPhase;
  readonly startedAt?: string;
  readonly ms?: number;
  readonly output?: unknown;
  readonly error?: ErrorRecord;
  readonly findings: readonly Finding[];
}

/** What the journal says about a run. Never stored: always folded anew from the events. */
export interface RunState {
  readonly run: string;
  readonly plan: Plan;
  readonly phase: RunPhase;
  /** The side that the targets point at, as far as the journal knows. */
  readonly live: Side;
  readonly operator: string;
  /** Who went on with the run after a process of it had died. */
  readonly resumed: readonly { readonly at: string; readonly operator: string }[];
  readonly startedAt: string;
  readonly endedAt: string | undefined;
  readonly exit: number | undefined;
  readonly error: ErrorRecord | undefined;
  readonly steps: Readonly<Record<string, StepState>>;
  readonly switchedAt: string | undefined;
  readonly retired: string | undefined;
  /** What a swap back left in the copy that was live. */
  readonly leftBehind: readonly string[];
}

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
    resumed: [],
    startedAt: first.at,
    endedAt: undefined,
    exit: undefined,
    error: undefined,
    steps: Object.fromEntries(
      first.plan.steps.map((step) => [step.id, { phase: 'waiting', findings: [] } as const]),
    ),
    switchedAt: undefined,
    retired: undefined,
    leftBehind: [],
  };
  return rest.reduce(transition, created);
}

export class IllegalTransitionError extends Error {
  override readonly name = 'IllegalTransitionError';
}

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
      require(state, event, ['running']);
      return withStep(state, event, event.step, ['running'], {});
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
      require(state, event, ['running', 'unwinding', 'stuck']);
      return withStep({ ...state, phase: 'unwinding' }, event, event.step, UNDOABLE, { phase: 'undoing' });
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
      return { ...state, live: event.to, switchedAt: event.to === 'green' ? event.at : state.switchedAt };
    case 'run-finished':
      require(state, event, ['running', 'unwinding', 'stuck']);
      return {
        ...state,
        phase: event.outcome,
        exit: event.exit,
        endedAt: event.at,
        error: event.error ?? state.error,
      };
    case 'swap-back-started':
    case 'swap-back-counted':
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
  require(state, event, ['running']);
  const { steps } = state.plan;
  const from = steps.findIndex(({ id }) => id === event.from);
  const moving = steps.findIndex(({ ownership }) => ownership === 'moves');
  const phaseOf = (index: number): StepPhase => state.steps[steps[index]!.id]!.phase;
  const fits = state.live === 'blue' ? from <= moving : from >= moving;
  if (from === -1 || !fits || steps.slice(0, from).some((_, index) => phaseOf(index) !== 'done'))
    throw illegal(state, event);
  const reset = steps.slice(from).map(({ id }, index): [string, StepState] => {
    const phase = phaseOf(from + index);
    if (['failed', 'undoing', 'undone', 'undo failed'].includes(phase)) throw illegal(state, event);
    return [id, { phase: phase === 'waiting' ? phase : 'again', findings: [] }];
  });
  return {
    ...state,
    resumed: [...state.resumed, { at: event.at, operator: event.operator }],
    steps: { ...state.steps, ...Object.fromEntries(reset) },
  };
}

type LaterEvent = Extract<Event, { type: `swap-back-${string}` | `retire-${string}` }>;

function afterwards(state: RunState, event: LaterEvent): RunState {
  switch (event.type) {
    case 'swap-back-started':
      require(state, event, ['completed', 'swapping back']);
      return { ...state, phase: 'swapping back', error: undefined };
    case 'swap-back-counted':
      require(state, event, ['swapping back']);
      return { ...state, leftBehind: event.leftBehind };
    case 'swap-back-finished':
      require(state, event, ['swapping back']);
      if (state.live !== 'blue') throw illegal(state, event);
      return { ...state, phase: 'swapped back', endedAt: event.at, leftBehind: event.leftBehind };
    case 'swap-back-failed':
      require(state, event, ['swapping back']);
      // Half-way is no end: the swap back is the one way on from there, and nothing else may touch the run.
      return event.settled
        ? { ...state, phase: 'completed', error: event.error, leftBehind: [] }
        : { ...state, phase: 'swapping back', error: event.error };
    case 'retire-started':
      require(state, event, ['completed', 'swapped back', 'retiring']);
      return { ...state, phase: 'retiring', error: undefined };
    case 'retire-finished':
      require(state, event, ['retiring']);
      return { ...state, phase: 'retired', retired: event.database, endedAt: event.at };
    case 'retire-failed':
      require(state, event, ['retiring']);
      return { ...state, phase: state.live === 'green' ? 'completed' : 'swapped back', error: event.error };
  }
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

function require(state: RunState, event: Event, phases: readonly RunPhase[]): void {
  if (!phases.includes(state.phase)) throw illegal(state, event);
}

function illegal(state: RunState, event: Event, step?: string): IllegalTransitionError {
  const where = 'step' in event ? ` of step ${event.step}${step ? `, which is ${step}` : ''}` : '';
  return new IllegalTransitionError(
    `event ${event.seq}, ${event.type}${where}, cannot follow: the run is ${state.phase}`,
  );
}
