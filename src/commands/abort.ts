import { type ExitCode } from '../core/errors.ts';
import { errorText } from '../report/error.ts';
import { abort } from '../run/abort.ts';
import { LineScreen } from '../run/screen/lines.ts';
import { describeNow } from '../run/now.ts';
import { reopen } from '../run/reopen.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { chooseRun, storeOf, surroundingsOf } from './shared/surroundings.ts';

const PHASES = ['running', 'unwinding', 'stuck'] as const;

export async function run(
  [named]: readonly (string | undefined)[],
  options: Options,
  io: CommandIo,
): Promise<ExitCode> {
  const store = storeOf(options);
  const chosen = await chooseRun(store, named, { to: 'abort', phases: PHASES });
  const reopened = await reopen(store, chosen.run, PHASES, await surroundingsOf(options));
  try {
    const result = await abort(reopened, new LineScreen((line) => io.err(line)));
    const now = [...result.undone, ...(await describeNow(reopened.drivers, chosen.plan.names))];
    if (result.error !== undefined) io.err(errorText(result.error, io.errStyle, now));
    else if (result.outcome === 'unwound')
      io.err(`Run ${chosen.run} is unwound.\n${now.map((line) => `  ${line}`).join('\n')}`);
    else {
      io.err(`The switch of run ${chosen.run} had come through: green is live, and the run is completed.`);
      io.err(`To go back: cutover swap-back ${chosen.run}`);
    }
    return result.exit;
  } finally {
    await reopened.end();
  }
}
