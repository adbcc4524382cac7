import { RefusedError, TimeOverError, UsageError } from '../../core/errors.ts';
import type { Plan, PlannedStep } from '../../core/plan.ts';
import type { Fallback } from '../../core/playbook.ts';
import type { BakeInput } from '../../core/step.ts';
import { formatDuration } from '../../util/units.ts';
import type { Stop } from './signals.ts';

/** Of a timer. */
const LONGEST_MS = 2 ** 31 - 1;

/** What a command line says of the time that a run has. */
export interface TimeOptions {
  /** ISO 8601. */
  readonly until?: string;
  readonly tooShort?: string;
  readonly prepare?: true;
}

/** What becomes of a run whose time is over before its switch. Throws UsageError for what makes no sense. */
export function tooShortOf({ until, tooShort, prepare }: TimeOptions, plan: Pick<Plan, 'live'>): Fallback {
  if (tooShort !== undefined && tooShort !== 'unwind' && tooShort !== 'hold')
    throw new UsageError(`--too-short ${tooShort} is unknown`, { hint: 'write unwind or hold' });
  if (tooShort !== undefined && until === undefined)
    throw new UsageError('--too-short is of no use without --until');
  if (!plan.live && (prepare || tooShort === 'hold'))
    throw new UsageError(
      `${prepare ? '--prepare' : '--too-short hold'} is for runs that follow: in this one blue would stay closed`,
      { hint: 'let the playbook say: sync: logical' },
    );
  return tooShort ?? 'unwind';
}

/**
 * Sees to it that a run is over by a time: when there is only as much left as the switch, the bake and a swap back need,
 * it is put back or held, as long as the commit point is not behind it.
 */
export class Deadline {
  #timer: NodeJS.Timeout | undefined;
  #execution: { readonly moved: boolean } | undefined;

  /** Throws UsageError for what is no time, and RefusedError when there is too little from the beginning. */
  constructor(options: TimeOptions, plan: Pick<Plan, 'steps' | 'names' | 'live'>, stop: Stop) {
    const tooShort = tooShortOf(options, plan);
    const { until: given, prepare } = options;
    if (given === undefined) return;
    const until = Date.parse(given);
    if (Number.isNaN(until))
      throw new UsageError(`--until ${given} is no time`, {
        hint: 'write one such as 2026-11-22T05:30:00+01:00',
      });
    const needed = prepare ? 0 : closingTime(plan.steps);
    const left = until - needed - Date.now();
    const bakes = plan.steps.some(({ kind }) => kind === 'bake');
    const words = `everything has to be over by ${new Date(until).toISOString()}${
      prepare ? '' : `, and the switch ${bakes ? 'with its bake ' : ''}needs ${formatDuration(needed)}`
    }`;
    if (left <= 0)
      throw new RefusedError(`${words}: it is too late to begin`, { hint: 'nothing was touched' });
    // Further ahead no timer reaches, and no run.
    if (left > LONGEST_MS) return;
    const over = new TimeOverError(words, {
      hint:
        tooShort === 'hold'
          ? `${plan.names.blue} is live; cutover schedule goes on with a run that is held in the next window`
          : `${plan.names.blue} is live; run again in the next window`,
    });
    this.#timer = setTimeout(() => {
      if (this.#execution?.moved) return;
      stop('The time is over', over, tooShort === 'hold' ? HELD : undefined);
    }, left);
  }

  /** From when ownership has moved in it there is only the way forward. */
  watch(execution: { readonly moved: boolean }): void {
    this.#execution = execution;
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

const HELD =
  'the step in flight is ended; if green follows by then the run is held, otherwise everything is put back';

const most = ({ estimate }: PlannedStep): number => estimate?.most ?? estimate?.ms ?? 0;

/** Milliseconds from the switch on; a bake may be followed by a swap back, which is another switch. */
export function closingTime(steps: readonly PlannedStep[]): number {
  return steps.reduce((sum, step) => {
    if (step.ownership === 'moves') {
      const baked = steps.find(({ kind }) => kind === 'bake')?.input as BakeInput | undefined;
      return sum + most(step) * (baked?.onFailure === 'swap-back' ? 2 : 1);
    }
    return step.kind === 'keep' || step.kind === 'bake' ? sum + most(step) : sum;
  }, 0);
}
