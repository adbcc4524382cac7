import type { Event } from '../../core/event.ts';
import type { Notice, NoticeState } from '../../core/drivers/notice.ts';
import type { GateLimit } from '../../core/step.ts';
import type { RunState } from '../../journal/fold.ts';
import { formatDuration } from '../../util/units.ts';
import { followerWords } from '../followers.ts';
import { nextFor } from '../reopen.ts';

/** What is told of an event. */
interface Told {
  readonly event: NoticeState;
  /** What happened, behind the playbook's name. */
  readonly words: string;
  readonly exit?: number;
  /** Where the run's phase alone does not say it. */
  readonly next?: string;
}

/** The notice that an event calls for, by the state that the run is in since; undefined for those that nobody waits for. */
export function noticeOf(event: Event, state: RunState): Notice | undefined {
  const told = toldOf(event, state);
  if (!told) return undefined;
  const { plan, run, phase } = state;
  return {
    event: told.event,
    playbook: plan.name,
    run,
    outcome: phase,
    exit: told.exit,
    message: `${plan.name}: ${told.words}`,
    next: told.next ?? nextFor(state),
    at: event.at,
  };
}

/** From journal events to the states that matter: all of it, in one place. */
function toldOf(event: Event, state: RunState): Told | undefined {
  switch (event.type) {
    case 'run-created':
      return {
        event: 'started',
        words: `started — run ${event.run} by ${event.operator}`,
        next: look(state),
      };
    case 'run-resumed':
      return {
        event: 'started',
        words: `started again — run ${state.run} goes on from ${event.from}, by ${event.operator}`,
        next: look(state),
      };
    case 'gate-opened':
      return { event: 'gate', words: `waits for an answer — ${event.question}${limitOf(event.step, state)}` };
    case 'run-held':
      return { event: 'held', words: heldWords(state), exit: event.exit };
    case 'run-finished':
      return event.outcome === 'completed' && event.error === undefined
        ? { event: 'switched', words: `switched — ${heldIn(state)}`, exit: event.exit }
        : { event: 'failed', words: failure(state), exit: event.exit, next: afterFailure(state) };
    case 'swap-back-finished': {
      const held = event.ms === 0 ? '' : `; it took ${formatDuration(event.ms)}`;
      return state.live === 'green'
        ? { event: 'switched', words: `switched once more — ${liveWords(state)}${held}`, exit: 0 }
        : {
            event: 'swapped-back',
            words: `swapped back${event.exit === undefined ? '' : ' by itself'} — ${liveWords(state)}${held}`,
            exit: event.exit ?? 0,
          };
    }
    case 'swap-back-failed': {
      const how = event.settled
        ? `the swap back failed and was put back; ${liveWords(state)}`
        : 'the swap back is half-way, and a person must look';
      return { event: 'failed', words: `${how} — ${event.error.message}` };
    }
    default:
      return undefined;
  }
}

const look = ({ run }: RunState): string =>
  `to see how it goes on: cutover status ${run} --watch; to put everything back: cutover abort ${run}`;

/** What becomes of a gate that nobody answers. */
function limitOf(step: string, { plan }: RunState): string {
  const limit = plan.steps.find(({ id }) => id === step)?.input as Partial<GateLimit> | undefined;
  if (limit?.timeout === undefined) return '';
  return ` (without an answer in ${formatDuration(limit.timeout)} it is ${limit.otherwise === 'go' ? 'yes' : 'no'})`;
}

function liveWords({ plan, live }: RunState): string {
  const { names, renames } = plan;
  if (live === 'blue') return `${names.blue} of before is live`;
  return renames ? `green is live as ${names.blue}` : `${names.green} is live`;
}

function heldIn(state: RunState): string {
  const moving = state.plan.steps.find(({ ownership }) => ownership === 'moves');
  const { ms } = ((moving && state.steps[moving.id]?.output) ?? {}) as { ms?: number };
  if (ms === undefined) return liveWords(state);
  return `${liveWords(state)}; ${state.plan.live ? 'clients were held for' : 'the switch took'} ${formatDuration(ms)}`;
}

function heldWords(state: RunState): string {
  const { plan, held, error } = state;
  const why = error === undefined ? '' : ` — ${error.message}`;
  const how = held?.reason === 'prepared' ? 'prepared, and waits for its switch' : 'held before its switch';
  return `${how}: ${plan.names.blue} is live as before, and ${followerWords(state)}${why}`;
}

function failure(state: RunState): string {
  const { phase, plan, error } = state;
  const why = error === undefined ? '' : ` — ${error.message}`;
  if (phase === 'refused') return `refused, nothing was touched${why}`;
  if (phase === 'unwound') return `failed, and was put back: ${plan.names.blue} is live as before${why}`;
  // Of a bake.
  if (phase === 'completed') return `switched, and ${liveWords(state)}, but it is not well${why}`;
  return `stuck, a person must look${why}`;
}

/** What the error advises comes first. */
const afterFailure = (state: RunState): string =>
  [state.error?.hint, nextFor(state)].filter((part) => part !== undefined).join('; ');
