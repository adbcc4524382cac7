import { RefusedError, type ExitCode } from '../core/errors.ts';
import { fold } from '../journal/fold.ts';
import type { Journal } from '../journal/journal.ts';
import { loadPlaybook } from '../playbook/load.ts';
import { errorText } from '../report/error.ts';
import { provedText, runText } from '../report/run.ts';
import { execute } from '../run/execute.ts';
import { prepareRun, type PreparedRun } from '../run/new-run.ts';
import { describeNow } from '../run/now.ts';
import { nextFor } from '../run/reopen.ts';
import { refusing } from '../run/refusing.ts';
import type { Screen } from '../run/screen/screen.ts';
import { formatDuration } from '../util/units.ts';
import { askYesNo } from './shared/ask.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { screenFor } from './shared/screens.ts';
import { withSignals } from './shared/signals.ts';
import { storeOf, surroundingsOf } from './shared/surroundings.ts';

type RunOptions = Options<{ yes?: true; json?: true }>;

export async function run(
  [file]: readonly (string | undefined)[],
  options: RunOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const playbook = await loadPlaybook(file!, around.env);
  if (playbook.gate === 'ask' && !options.yes && !io.interactive) {
    throw new RefusedError('the gate before the switch would ask, and there is no terminal to ask at', {
      hint: 'answer beforehand: cutover run --yes; or let the playbook say: gate: open',
    });
  }
  return withSignals(io.err, async (signal) => {
    const prepared = await prepareRun(playbook, around, true);
    try {
      const screen = await screenFor(io, options.json === true);
      return await runPrepared(prepared, screen, options, io, signal);
    } finally {
      if (prepared.drivers.stays) io.err(`The embedded server goes on running: ${prepared.drivers.stays}`);
      await prepared.drivers.end();
    }
  });
}

async function runPrepared(
  { plan, drivers }: PreparedRun,
  screen: Screen,
  options: RunOptions,
  io: CommandIo,
  signal: AbortSignal,
): Promise<ExitCode> {
  const store = storeOf(options);
  const journal = await store.create(plan.run);
  try {
    screen.start(plan);
    screen.event(
      await refusing(() =>
        journal.append({ type: 'run-created', run: plan.run, operator: io.operator, plan }),
      ),
    );
    const ask = (question: string): ReturnType<typeof answer> =>
      answer(question, journal, screen, options, io, signal);
    const result = await execute({ plan, live: 'blue', moved: false, drivers, journal, screen, signal, ask });
    await screen.end();
    if (result.error === undefined) {
      const state = fold(await journal.read());
      if (!options.json) io.err(`\n${runText(state, nextFor(state), io.errStyle)}`);
    } else {
      const now =
        result.outcome === 'refused' ? ['nothing was touched'] : await describeNow(drivers, plan.names);
      io.err(`\n${errorText(result.error, io.errStyle, [...result.undone, ...now])}`);
    }
    return result.exit;
  } finally {
    await journal.close();
  }
}

async function answer(
  question: string,
  journal: Journal,
  screen: Screen,
  options: RunOptions,
  io: CommandIo,
  signal: AbortSignal,
): Promise<{ answer: 'go' | 'stop'; by: string }> {
  if (options.yes) return { answer: 'go', by: '--yes' };
  await screen.settle();
  const state = fold(await journal.read());
  const seconds = Date.now() - Date.parse(state.steps['fence']?.startedAt ?? new Date().toISOString());
  io.err(
    `\n${provedText(state, io.errStyle)}\n\n${state.plan.names.blue} is closed to everybody since ${formatDuration(seconds)}, until you answer.`,
  );
  return { answer: (await askYesNo(question, signal)) ? 'go' : 'stop', by: io.operator };
}
