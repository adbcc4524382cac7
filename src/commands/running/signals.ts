import { InterruptedError } from '../../core/errors.ts';
import { redact } from '../../util/redact.ts';

/** Ends the work early: `why` is said, and what that means; `reason` is what the signal's listeners get. */
export type Stop = (why: string, reason: unknown, meaning?: string) => void;

/**
 * Turns SIGINT, SIGTERM and SIGHUP (the terminal went away) into an abort signal for as long as `work` goes on, and says
 * what that `means`; a second one only says so. Work that asks nobody goes on without its terminal. An error that nobody
 * caught aborts as well: a process that just died of it would leave blue closed.
 */
export async function withSignals<T>(
  err: (text: string) => void,
  work: (signal: AbortSignal, stop: Stop) => Promise<T>,
  { unattended = false, means = 'the step in flight is ended, then everything is put back' } = {},
): Promise<T> {
  const controller = new AbortController();
  const stop: Stop = (why, reason, meaning = means) => {
    if (controller.signal.aborted) return err('Still putting things back; please wait.');
    err(`${why}: ${meaning}.`);
    controller.abort(reason);
  };
  const handlers = {
    SIGINT: () => stop('SIGINT', new InterruptedError('SIGINT')),
    SIGTERM: () => stop('SIGTERM', new InterruptedError('SIGTERM')),
    SIGHUP() {
      if (unattended) err('The terminal is gone; the work goes on without it.');
      else stop('SIGHUP', new InterruptedError('SIGTERM'));
    },
    uncaughtException(error: NodeJS.ErrnoException) {
      // What asks or draws on a terminal stumbles over its end before the signal is here.
      if (error.code === 'EIO') return handlers.SIGHUP();
      stop(redact(error.stack ?? String(error)), error);
    },
  };
  for (const [name, handler] of Object.entries(handlers)) process.on(name, handler);
  try {
    return await work(controller.signal, stop);
  } finally {
    for (const [name, handler] of Object.entries(handlers)) process.off(name, handler);
  }
}
