import type { Event } from '../../core/event.ts';
import { fold, transition, type RunState } from '../../journal/fold.ts';
import type { Screen } from '../screen/screen.ts';
import { noticeOf } from './notices.ts';
import type { Outbox } from './outbox.ts';

export interface Watching {
  /** Undefined for a run that begins. */
  readonly state?: RunState;
  /** The gate is answered beforehand: nobody has to be called to it. */
  readonly answered?: boolean;
  /** Makes commands in a text work as they stand. */
  readonly spell: (text: string) => string;
}

/** The same screen; besides, whoever is to hear of them is told of the events that matter. */
export function watched(screen: Screen, outbox: Outbox, watching: Watching): Screen {
  const tell = teller(outbox, watching);
  return {
    start: (plan, from) => screen.start(plan, from),
    event(event) {
      screen.event(event);
      tell(event);
    },
    progress: (step, progress) => screen.progress(step, progress),
    summary: (step, text) => screen.summary(step, text),
    settle: () => screen.settle(),
    end: () => screen.end(),
  };
}

function teller(outbox: Outbox, { state: given, answered, spell }: Watching): (event: Event) => void {
  let state = given;
  return (event) => {
    // News, and stored besides the order of the others.
    if (event.type === 'step-progressed') return;
    try {
      state = state ? transition(state, event) : fold([event]);
      if (movesNow(event, state)) outbox.hold();
      else if (SETTLED.has(event.type)) outbox.letGo();
      if (event.type === 'gate-opened' && answered) return;
      const notice = noticeOf(event, state);
      if (notice) outbox.post({ ...notice, message: spell(notice.message), next: spell(notice.next) });
    } catch {
      // A journal with a gap tells nothing that can be relied on; the run itself says what became of it.
    }
  };
}

/** From here on clients may be held. */
const movesNow = (event: Event, { plan }: RunState): boolean =>
  event.type === 'swap-back-started' ||
  (event.type === 'step-started' && plan.steps.find(({ id }) => id === event.step)?.ownership === 'moves');

const SETTLED: ReadonlySet<Event['type']> = new Set([
  'step-succeeded',
  'step-failed',
  'run-held',
  'run-finished',
  'swap-back-finished',
  'swap-back-failed',
]);
