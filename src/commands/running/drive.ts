import { AbortedError } from '../../core/errors.ts';
import type { Names } from '../../core/database/database.ts';
import type { Resolve } from '../../core/drivers/driver.ts';
import { fold, type RunState } from '../../journal/fold.ts';
import type { Journal, JournalStore } from '../../journal/journal.ts';
import { errorText } from '../../report/error.ts';
import { provedText, runText } from '../../report/run.ts';
import type { Execution } from '../../run/engine/execution.ts';
import type { Result } from '../../run/engine/result.ts';
import { describeNow } from '../../run/now.ts';
import type { Drivers } from '../../run/open.ts';
import { followerWords } from '../../run/followers.ts';
import { nextFor } from '../../run/reopen.ts';
import type { Screen } from '../../run/screen/screen.ts';
import { firstAnswer, type Source } from '../../run/steer/answer.ts';
import { Steering } from '../../run/steer/steering.ts';
import { urlSource } from '../../run/steer/url.ts';
import { formatDuration } from '../../util/units.ts';
import { askYesNo } from '../shared/ask.ts';
import type { CommandIo } from '../shared/io.ts';
import type { Stop } from './signals.ts';

export interface Driven {
  readonly store: JournalStore;
  readonly journal: Journal;
  readonly drivers: Drivers;
  readonly names: Names;
  readonly screen: Screen;
  readonly io: CommandIo;
  /** For the address of a gate. */
  readonly resolve: Resolve;
  readonly options: { readonly yes?: true; readonly json?: true };
  readonly signal: AbortSignal;
  readonly stop: Stop;
}

/** Lets a run be steered from here and from other terminals while `work` executes it, and tells its end. */
export async function drive(
  driven: Driven,
  work: (ask: Execution['ask']) => Promise<Result>,
): Promise<Result['exit']> {
  const { store, journal, drivers, names, screen, io, options, stop } = driven;
  const since = (await journal.read()).length;
  const steering = new Steering(store, journal.run, since, (by) =>
    stop(`Abort asked by ${by}`, new AbortedError(by)),
  );
  steering.listen();
  let result: Result;
  try {
    result = await work(asker(driven, steering));
  } finally {
    await steering.stop();
  }
  await screen.end();
  if (result.error === undefined) {
    const state = fold(await journal.read());
    if (!options.json) io.err(`\n${runText(state, nextFor(state), io.errStyle)}`);
  } else {
    const now = result.outcome === 'refused' ? ['nothing was touched'] : await describeNow(drivers, names);
    const next = result.outcome === 'held' ? nextOf(fold(await journal.read())) : undefined;
    io.err(`\n${errorText(result.error, io.errStyle, [...result.undone, ...now], next)}`);
  }
  return result.exit;
}

/** The copy is still there: what an error advises is for runs that were put back. */
const nextOf = (state: RunState): string =>
  `${followerWords(state)}: mend the cause there or in ${state.plan.names.blue}\n${nextFor(state).replaceAll('; ', '\n')}`;

function asker(
  { journal, screen, io, options, signal, resolve }: Driven,
  steering: Steering,
): Execution['ask'] {
  const elsewhere: Source = (asked) => steering.answerTo(asked);
  const here: Source = async (asked, taken) => ({
    answer: (await askYesNo(asked.question, taken)) ? 'go' : 'stop',
    by: io.operator,
  });
  return async (asked) => {
    const { url } = asked.limit;
    // --yes speaks for the person at this terminal, and for nobody else.
    if (options.yes && !url) return { answer: 'go', by: '--yes' };
    const person = io.interactive && !options.yes;
    await screen.settle();
    const state = fold(await journal.read());
    io.err(
      [
        '',
        provedText(state, io.errStyle),
        '',
        waiting(state),
        ...(person ? [] : [`To answer: cutover approve ${state.run}, or cutover reject ${state.run}`]),
      ].join('\n'),
    );
    const others = [elsewhere, urlSource(resolve, io.err)];
    return firstAnswer(asked, person ? [here, ...others] : others, signal);
  };
}

/** What the answer is waited for with. */
function waiting({ plan: { names, live }, steps }: RunState): string {
  if (live)
    return `Clients go on writing to ${names.blue}, and ${names.green} follows, until there is an answer.`;
  const ms = Date.now() - Date.parse(steps['fence']?.startedAt ?? new Date().toISOString());
  return `${names.blue} is closed to everybody since ${formatDuration(ms)}, until there is an answer.`;
}
