import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../core/errors.ts';
import {
  UndeliverableError,
  type Notice,
  type NoticeState,
  type Notifier,
} from '../../core/drivers/notice.ts';
import { redact } from '../../util/redact.ts';
import { formatDuration } from '../../util/units.ts';

/** How often a notice is sent again. */
const RETRIES = 3;
/** Before the first time; each further one waits twice as long. */
const WAIT_MS = 1000;
/** How long the end of a command waits for what is not delivered. */
const END_MS = 30_000;
/** A wait that is longer is explained. */
const QUIET_MS = 1000;

interface Lane {
  readonly notifier: Notifier;
  /** One place gets its notices in their order. */
  tail: Promise<void>;
}

/**
 * Sends notices while other work goes on. Nothing here throws, and nobody has to wait for it: what cannot be delivered is
 * said in one line.
 */
export class Outbox {
  readonly #lanes: readonly Lane[];
  readonly #say: (line: string) => void;
  readonly #stop = new AbortController();
  readonly #posted = new Set<NoticeState>();
  #pending = 0;
  /** While clients are held, nothing is begun. */
  #held: PromiseWithResolvers<void> | undefined;

  constructor(notifiers: readonly Notifier[], say: (line: string) => void) {
    this.#lanes = notifiers.map((notifier) => ({ notifier, tail: Promise.resolve() }));
    this.#say = (line) => say(redact(line));
  }

  /** How many notices are not delivered yet, nor given up. */
  get pending(): number {
    return this.#pending;
  }

  /** Whether a notice of this kind was posted. */
  posted(event: NoticeState): boolean {
    return this.#posted.has(event);
  }

  /** Returns at once. */
  post(given: Notice): void {
    const notice = { ...given, message: redact(given.message), next: redact(given.next) };
    this.#posted.add(notice.event);
    for (const lane of this.#lanes.filter(({ notifier }) => notifier.on.includes(notice.event))) {
      this.#pending += 1;
      lane.tail = lane.tail
        .then(() => this.#deliver(lane.notifier, notice))
        .finally(() => (this.#pending -= 1));
    }
  }

  /** Until `letGo`, nothing is sent that is not on its way already. */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  letGo(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  /** Waits a bounded time for what is not delivered; not any longer when the signal fires. */
  async end(signal?: AbortSignal, ms = END_MS): Promise<void> {
    this.letGo();
    const stop = (): void => this.#stop.abort();
    signal?.addEventListener('abort', stop, { once: true });
    const timers = [
      setTimeout(stop, ms),
      setTimeout(
        () => this.#say(`Waiting for notices to be delivered, at most ${formatDuration(ms)}.`),
        QUIET_MS,
      ),
    ];
    try {
      await Promise.all(this.#lanes.map(({ tail }) => tail));
    } finally {
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    }
  }

  async #deliver(notifier: Notifier, notice: Notice): Promise<void> {
    let reason = 'the command was at its end';
    try {
      for (let attempt = 0; attempt <= RETRIES && !this.#stop.signal.aborted; attempt += 1) {
        if (attempt > 0) await sleep(WAIT_MS * 2 ** (attempt - 1), undefined, { signal: this.#stop.signal });
        await this.#held?.promise;
        const over = AbortSignal.timeout(notifier.timeout);
        try {
          return await within(AbortSignal.any([this.#stop.signal, over]), (signal) =>
            notifier.send(notice, signal),
          );
        } catch (error) {
          if (over.aborted) reason = `no answer within ${formatDuration(notifier.timeout)}`;
          else if (!this.#stop.signal.aborted) reason = messageOf(error);
          if (error instanceof UndeliverableError) break;
        }
      }
    } catch {
      // The end came while it waited; the reason of the last attempt stands.
    }
    this.#say(
      `The notice "${notice.event}" could not be delivered by ${notifier.place}: ${reason.replaceAll(/\s*\n\s*/g, ' ')}`,
    );
  }
}

/** Settles like the work, or fails at once when the signal fires, whether the work listens to it or not. */
async function within(signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const { promise: over, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', stop, { once: true });
  try {
    await Promise.race([work(signal), over]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
