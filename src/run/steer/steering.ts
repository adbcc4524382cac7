import { setTimeout as sleep } from 'node:timers/promises';
import type { JournalStore, Request } from '../../journal/journal.ts';
import type { Answer, Asked } from '../engine/execution.ts';

const POLL_MS = 500;

interface Waiting {
  readonly asked: Asked;
  resolve(answer: Answer): void;
}

/** What other terminals ask of the process that works on a run: hears them until it is stopped. */
export class Steering {
  readonly #store: JournalStore;
  readonly #run: string;
  readonly #since: number;
  readonly #onAbort: (by: string) => void;
  readonly #over = new AbortController();
  #waiting: Waiting | undefined;
  #listening: Promise<void> | undefined;

  /** What was asked before the event `since` was meant for another process. */
  constructor(store: JournalStore, run: string, since: number, onAbort: (by: string) => void) {
    this.#store = store;
    this.#run = run;
    this.#since = since;
    this.#onAbort = onAbort;
  }

  listen(): void {
    this.#listening = this.#poll();
  }

  /** The answer that somebody gives from another terminal; never settles when nobody does. */
  answerTo(asked: Asked): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.#waiting = { asked, resolve };
    return promise;
  }

  /** Hears no more, and takes back what nobody will read. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#listening;
    // What cannot be taken back now is older than whoever works on the run next, and is passed over then.
    const left = await this.#store.requests(this.#run).catch(() => []);
    for (const { id } of left) await this.#store.withdraw(this.#run, id).catch(() => undefined);
  }

  async #poll(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      // A store that cannot be asked for a while says so at the next event.
      const requests = await this.#store.requests(this.#run).catch(() => []);
      for (const request of requests) {
        // One that stays is heard again, which changes nothing: the run is on its way already, the gate is answered.
        if (this.#hear(request)) await this.#store.withdraw(this.#run, request.id).catch(() => undefined);
      }
      // Woken early only by `stop`, which ends the loop.
      await sleep(POLL_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Says whether the request is dealt with. */
  #hear(request: Request): boolean {
    if (request.seq < this.#since) return true;
    if (request.kind === 'abort') {
      this.#onAbort(request.by);
      return true;
    }
    const waiting = this.#waiting;
    if (waiting?.asked.step !== request.step || waiting.asked.seq !== request.seq) return false;
    waiting.resolve({ answer: request.answer, by: request.by });
    this.#waiting = undefined;
    return true;
  }
}
