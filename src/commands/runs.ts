import { EXIT, type ExitCode } from '../core/errors.ts';
import { runsText } from '../report/run.ts';
import type { CommandIo, Options } from './io.ts';
import { runsOf, statesOf, storeOf } from './surroundings.ts';

export async function run(
  _args: readonly (string | undefined)[],
  options: Options<{ json?: true }>,
  io: CommandIo,
): Promise<ExitCode> {
  const store = storeOf(options);
  const states = await statesOf(store, await runsOf(store));
  if (!options.json) io.out(runsText(states, io.outStyle));
  else {
    const rows = states.map(({ run, plan, phase, live, startedAt }) => ({
      run,
      name: plan.name,
      phase,
      live,
      startedAt,
    }));
    io.out(JSON.stringify(rows, null, 2));
  }
  return EXIT.done;
}
