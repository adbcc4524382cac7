import { EXIT, type ExitCode } from '../core/errors.ts';
import { runsText } from '../report/run.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { allRuns, withStore } from './shared/surroundings.ts';

export async function run(
  _args: readonly (string | undefined)[],
  options: Options<{ json?: true }>,
  io: CommandIo,
): Promise<ExitCode> {
  const { states, damaged } = await withStore(options, allRuns);
  if (options.json) {
    const rows = states.map(({ run, plan, phase, live, startedAt }) => ({
      run,
      name: plan.name,
      phase,
      live,
      startedAt,
    }));
    io.out(JSON.stringify(rows, null, 2));
  } else {
    io.out(runsText(states, io.outStyle));
  }
  for (const { run, reason } of damaged) io.err(`${run}  cannot be read: ${reason}`);
  return damaged.length === 0 ? EXIT.done : EXIT.internal;
}
