import { InterruptedError } from '../core/errors.ts';

/** Turns SIGINT, SIGTERM and SIGHUP (the terminal went away) into an abort signal for as long as `work` goes on; a second one only says so. */
export async function withSignals<T>(
  err: (text: string) => void,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const listen = (name: 'SIGINT' | 'SIGTERM' | 'SIGHUP') => (): void => {
    if (controller.signal.aborted) err('Still putting things back; please wait.');
    else {
      err(`${name}: the step in flight is ended, then everything is put back.`);
      controller.abort(new InterruptedError(name === 'SIGINT' ? name : 'SIGTERM'));
    }
  };
  const handlers = { SIGINT: listen('SIGINT'), SIGTERM: listen('SIGTERM'), SIGHUP: listen('SIGHUP') };
  for (const [name, handler] of Object.entries(handlers)) process.on(name, handler);
  try {
    return await work(controller.signal);
  } finally {
    for (const [name, handler] of Object.entries(handlers)) process.off(name, handler);
  }
}
