import type { Event } from '../core/event.ts';
import { other, type Side } from '../core/side.ts';
import { illegal, require, type RunPhase, type RunState } from './state.ts';

export type LaterEvent = Extract<Event, { type: `swap-back-${string}` | `retire-${string}` }>;

/** The phase of a run that has ended with this side live. */
const atRest = (live: Side): RunPhase => (live === 'green' ? 'completed' : 'swapped back');

/** Legal transitions of a run that has switched. */
export function afterwards(state: RunState, event: LaterEvent): RunState {
  switch (event.type) {
    case 'swap-back-started':
      require(state, event, [event.to === 'green' ? 'swapped back' : 'completed', 'swapping back']);
      return {
        ...state,
        phase: 'swapping back',
        heading: event.to ?? 'blue',
        error: undefined,
        leftBefore: state.phase === 'swapping back' ? state.leftBefore : state.leftBehind,
      };
    case 'swap-back-counted':
      require(state, event, ['swapping back']);
      return { ...state, leftBehind: event.leftBehind };
    case 'swap-back-passed-over':
      require(state, event, ['swapping back']);
      return { ...state, passedOver: passedOver(state, event) };
    case 'swap-back-finished':
      require(state, event, ['swapping back']);
      if (state.live !== state.heading) throw illegal(state, event);
      return {
        ...state,
        phase: atRest(state.live),
        endedAt: event.at,
        leftBehind: event.leftBehind,
        exit: event.exit ?? state.exit,
      };
    case 'swap-back-failed':
      require(state, event, ['swapping back']);
      // Half-way is no end: the swap back is the one way on from there, and nothing else may touch the run.
      return event.settled
        ? { ...state, phase: atRest(other(state.heading)), error: event.error, leftBehind: state.leftBefore }
        : { ...state, phase: 'swapping back', error: event.error };
    case 'retire-started':
      require(state, event, ['completed', 'swapped back', 'retiring']);
      return { ...state, phase: 'retiring', error: undefined };
    case 'retire-finished':
      require(state, event, ['retiring']);
      return { ...state, phase: 'retired', retired: event.database, endedAt: event.at };
    case 'retire-failed':
      require(state, event, ['retiring']);
      // Of a run that follows nothing leads back any more: following ends before the copy is dropped.
      return { ...state, phase: state.plan.live ? 'retiring' : atRest(state.live), error: event.error };
  }
}

/** Each once: a process may have died before it came to pass over what it had written down. */
function passedOver(
  { passedOver: before }: RunState,
  { to, transaction }: Extract<Event, { type: 'swap-back-passed-over' }>,
): RunState['passedOver'] {
  return { ...before, [to]: [...new Set([...before[to], transaction])] };
}
