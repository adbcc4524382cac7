import { setTimeout as sleep } from 'node:timers/promises';
import type { Event } from '../../core/event.ts';
import { fold, type RunPhase, type RunState } from '../../journal/fold.ts';
import type { JournalStore } from '../../journal/journal.ts';

const POLL_MS = 500;

/** Phases in which a process is at work, or has died. */
const AT_WORK: readonly RunPhase[] = ['running', 'unwinding', 'swapping back', 'retiring'];

export const isAtWork = ({ phase }: RunState): boolean => AT_WORK.includes(phase);

export interface Followed {
  readonly state: RunState;
  /** The run is not settled, and no process works on it any more. */
  readonly abandoned: boolean;
}

/**
 * Gives each event of a run that comes after `since`, until the run is settled or nobody works on it any more. Throws
 * the signal's reason when it aborts.
 */
export async function follow(
  store: JournalStore,
  run: string,
  since: number,
  onEvent: (event: Event) => void,
  signal?: AbortSignal,
): Promise<Followed> {
  let shown = since;
  for (;;) {
    // In this order: who is gone by now has written all of its events.
    const writer = await store.writer(run);
    const events = await store.read(run);
    for (const event of events.slice(shown)) onEvent(event);
    shown = Math.max(shown, events.length);
    const state = fold(events);
    const abandoned = isAtWork(state) && writer === undefined;
    if (abandoned || !isAtWork(state)) return { state, abandoned };
    await sleep(POLL_MS, undefined, { ...(signal && { signal }) }).catch(() => signal?.throwIfAborted());
  }
}
