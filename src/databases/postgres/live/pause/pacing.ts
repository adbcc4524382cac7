import { setImmediate, setTimeout as sleep } from 'node:timers/promises';

/** In the pause a timer's millisecond counts; what takes longer than this is asked for less often. */
const EAGER_MS = 30;
const POLL_MS = 2;

/** Waits between two questions: at first not at all, then for a moment. */
export function pacing(): () => Promise<unknown> {
  const started = performance.now();
  return () => (performance.now() - started < EAGER_MS ? setImmediate() : sleep(POLL_MS));
}
