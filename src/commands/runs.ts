import { EXIT, type ExitCode } from '../core/errors.ts';
import { fold, type RunState } from '../journal/fold.ts';
import { runsText } from '../report/run.ts';
import type { CommandIo, Options } from './io.ts';
import { storeOf } from './surroundings.ts';

export async function run(
  _args: readonly (string | undefined)[],
  options: Options<{ json?: true }>,
  io: CommandIo,
): Promise<ExitCode> {
  const store = storeOf(options);
  const states: RunState[] = [];
  for (const id of await store.list()) {
    const events = await store.read(id);
    // A process that died before its first event left an empty journal: no run, and nothing was touched.
    if (events.length > 0) states.push(fold(events));
  }
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
