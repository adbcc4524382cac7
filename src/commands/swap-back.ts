import { EXIT, RefusedError, type ExitCode } from '../core/errors.ts';
import { fold } from '../journal/fold.ts';
import { commandTo, type Side } from '../core/side.ts';
import type { RunState } from '../journal/fold.ts';
import type { JournalStore } from '../journal/journal.ts';
import { runText } from '../report/run.ts';
import type { Outbox } from '../run/notify/outbox.ts';
import { watched } from '../run/notify/watch.ts';
import { executionOf, nextFor, reopen } from '../run/reopen.ts';
import { swapBack } from '../run/after/swap-back.ts';
import { LineScreen } from '../run/screen/lines.ts';
import { formatDuration } from '../util/units.ts';
import { askYesNo } from './shared/ask.ts';
import { guardOf } from './running/guarding.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { notifying, toldOf } from './running/notifying.ts';
import { repeatFlags } from './arguments/repeat-flags.ts';
import { withSignals } from './running/signals.ts';
import { chooseRun, surroundingsOf, withStore } from './shared/surroundings.ts';

type SwapBackOptions = Options<{ yes?: true; acceptDataLoss?: true }>;

const PHASES = ['completed', 'swapping back'] as const;

export const run = (
  [named]: readonly (string | undefined)[],
  options: SwapBackOptions,
  io: CommandIo,
): Promise<ExitCode> => withStore(options, (store) => swapBackRun(store, named, options, io));

async function swapBackRun(
  store: JournalStore,
  named: string | undefined,
  options: SwapBackOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const chosen = await chooseRun(store, named, { to: 'swap back', phases: PHASES });
  return swapTo('blue', chosen, store, options, io);
}

/** Makes the side live that is not, for the two commands that do it: there is one protocol for both ways. */
export async function swapTo(
  to: Side,
  chosen: RunState,
  store: JournalStore,
  options: SwapBackOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const phases = [to === 'blue' ? 'completed' : 'swapped back', 'swapping back'] as const;
  const word = commandTo(to);
  if (!options.yes && !io.interactive) {
    throw new RefusedError(`a ${word.replace('-', ' ')} asks first, and there is no terminal to ask at`, {
      hint: `cutover ${word} ${chosen.run}${options.acceptDataLoss ? ' --accept-data-loss' : ''} --yes`,
    });
  }
  const around = await surroundingsOf(options);
  const work = async (signal: AbortSignal, outbox: Outbox): Promise<ExitCode> => {
    const reopened = await reopen(store, chosen.run, phases, around);
    try {
      const { phase, heading } = reopened.state;
      // The other word would put back what this one had begun, and with it what leads either way.
      if (phase === 'swapping back' && heading !== to)
        throw new RefusedError(`${chosen.run} is on its way to ${heading} already`, {
          hint: `to finish: cutover ${commandTo(heading)} ${chosen.run}`,
        });
      const screen = watched(new LineScreen((line) => io.err(line)), outbox, {
        state: reopened.state,
        spell: repeatFlags(options),
      });
      const guard = guardOf(options, chosen.run);
      const execution = executionOf(reopened, screen, signal, undefined, guard);
      const { ms, leftBehind } = await swapBack(reopened, execution, {
        operator: io.operator,
        acceptDataLoss: options.acceptDataLoss === true,
        to,
        confirm: (found) => {
          io.err(describeLoss(found, chosen.plan.live !== undefined));
          return confirm(to, options, signal);
        },
      });
      const state = fold(await reopened.journal.read());
      const how =
        ms === undefined
          ? `The ${word.replace('-', ' ')} had come through already.`
          : `${to === 'blue' ? 'Swapped back' : 'Switched'} in ${formatDuration(ms)}.`;
      io.err(`${how} ${describeLoss(leftBehind, state.plan.live !== undefined)}\n`);
      io.err(runText(state, nextFor(state), io.errStyle));
      return EXIT.done;
    } finally {
      await reopened.end();
    }
  };
  return notifying(io, around, toldOf(chosen.plan), (outbox) =>
    withSignals(io.err, (signal) => work(signal, outbox)),
  );
}

async function confirm(to: Side, options: SwapBackOptions, signal: AbortSignal): Promise<boolean> {
  return (
    options.yes === true ||
    askYesNo(
      to === 'blue'
        ? 'Swap back now? The previous copy becomes live'
        : 'Switch now? Green becomes live once more',
      signal,
    )
  );
}

/** `follows`: the previous copy has had everything that was written since the switch, but for these lines. */
function describeLoss(lines: readonly string[], follows: boolean): string {
  if (lines.length === 0)
    return follows
      ? 'The side that follows has everything: nothing is lost.'
      : 'Nothing was written since the switch: nothing is lost.';
  return [
    'Written since the switch, and not in the previous copy:',
    ...lines.map((line) => `  ${line}`),
  ].join('\n');
}
