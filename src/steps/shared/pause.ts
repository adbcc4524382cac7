import { StepError } from '../../core/errors.ts';
import { formatDuration } from '../../util/units.ts';

/** The pause budget ran out, or something else passed by that may be otherwise the next time; everything is put back. */
export class CalledOff extends StepError {}

/** The time for which clients may be held. Times are those of `performance.now()`. */
export class Pause {
  readonly started = performance.now();
  readonly #budget: number;

  constructor(budget: number) {
    this.#budget = budget;
  }

  get deadline(): number {
    return this.started + this.#budget;
  }

  /** Throws CalledOff when the time is over. */
  inTime(doing: string): void {
    if (performance.now() > this.deadline) throw this.#ranOut(` while ${doing}`);
  }

  /** The signal fires when the time is over. */
  async within<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const over = new AbortController();
    const timer = this.#timer(() => over.abort(this.#ranOut(' while clients finished their transactions')));
    try {
      return await work(over.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What is only read is left alone when the time is over: whoever does not answer holds clients no longer. */
  async orOver<T>(reading: Promise<T>): Promise<T> {
    const { promise: over, reject } = Promise.withResolvers<never>();
    const timer = this.#timer(() => reject(this.#ranOut(' while the servers were asked')));
    try {
      return await Promise.race([reading, over]);
    } finally {
      clearTimeout(timer);
    }
  }

  #timer(then: () => void): NodeJS.Timeout {
    return setTimeout(then, this.deadline - performance.now());
  }

  /** What failed because it took too long, and not because anything broke; undefined for everything else. */
  calledOff(error: unknown): CalledOff | undefined {
    if (error instanceof CalledOff) return error;
    const overdue = error instanceof StepError && error.cause === undefined;
    if (!overdue || performance.now() <= this.deadline) return undefined;
    return this.#ranOut(`: ${error.message}`, error.detail);
  }

  #ranOut(what: string, detail?: string): CalledOff {
    return new CalledOff(`the pause budget of ${formatDuration(this.#budget)} ran out${what}`, {
      detail,
      hint: 'clients go on where they were; give the pause more time: switch: { pause-budget: … }',
    });
  }
}
