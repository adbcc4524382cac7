import { EXIT, RefusedError, type ExitCode } from '../core/errors.ts';
import { letGo } from '../run/recover/guard.ts';
import { executionOf, reopen } from '../run/reopen.ts';
import { LineScreen } from '../run/screen/lines.ts';
import { SAFE } from './shared/guarding.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { chooseRun, surroundingsOf, withStore } from './shared/surroundings.ts';

const PHASES = ['running', 'unwinding', 'completed', 'swapping back', 'swapped back'] as const;

/** Waits until whoever started it says that all is well, or is gone; then clients that are held go on. */
export async function run(
  [named]: readonly (string | undefined)[],
  options: Options,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  io.out('ready');
  let said = '';
  for await (const chunk of process.stdin) said += String(chunk);
  if (said.includes(SAFE)) return EXIT.done;
  return withStore(options, async (store) => {
    const { run: id } = await chooseRun(store, named);
    try {
      const reopened = await reopen(store, id, PHASES, around);
      try {
        await letGo(
          reopened,
          executionOf(reopened, new LineScreen(() => undefined), AbortSignal.timeout(60_000)),
        );
      } finally {
        await reopened.end();
      }
    } catch (error) {
      // Somebody goes on with the run already, and lets them go on.
      if (!(error instanceof RefusedError)) throw error;
    }
    return EXIT.done;
  });
}
