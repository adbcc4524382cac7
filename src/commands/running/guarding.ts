import type { Guard } from '../../run/engine/execution.ts';
import { start } from '../../util/exec.ts';
import type { GlobalOptions } from '../shared/io.ts';
import { givenFlags } from '../arguments/repeat-flags.ts';

/** What a guard hears when nobody is held any more. */
export const SAFE = 'safe\n';

/**
 * Starts a process that outlives this one: should it die while clients are held, they are let go on. It is there when
 * the promise settles; one that cannot be started is no reason not to go on.
 */
export const guardOf = (options: GlobalOptions, run: string) => async (): Promise<Guard> => {
  const child = start(
    { file: process.execPath, args: ['--', process.argv[1]!, ...givenFlags(options), 'guard', run] },
    { stdio: ['pipe', 'pipe', 'ignore'], detached: true },
  );
  child.stdin!.on('error', () => undefined);
  await new Promise<void>((resolve) => {
    child.stdout!.once('data', () => resolve());
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  child.unref();
  (child.stdout as unknown as { unref(): void }).unref();
  return {
    release() {
      child.stdin!.end(SAFE);
    },
  };
};
