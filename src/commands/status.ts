import { EXIT, type ExitCode } from '../core/errors.ts';
import { runText } from '../report/run.ts';
import { nextFor } from '../run/reopen.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { chooseRun, runToShow, storeOf } from './shared/surroundings.ts';

/** What the journal says; asks no server. */
export async function run(
  [named]: readonly (string | undefined)[],
  options: Options<{ json?: true }>,
  io: CommandIo,
): Promise<ExitCode> {
  const store = storeOf(options);
  const state = named === undefined ? await runToShow(store) : await chooseRun(store, named);
  io.out(options.json ? JSON.stringify(state, null, 2) : runText(state, nextFor(state), io.outStyle));
  return EXIT.done;
}
