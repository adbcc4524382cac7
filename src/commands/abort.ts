import { EXIT, type ExitCode } from '../core/errors.ts';
import { BEFORE_THE_END, fold, type RunState } from '../journal/fold.ts';
import type { JournalStore } from '../journal/journal.ts';
import { errorText } from '../report/error.ts';
import { runText } from '../report/run.ts';
import { abort } from '../run/recover/abort.ts';
import { LineScreen } from '../run/screen/lines.ts';
import type { Outbox } from '../run/notify/outbox.ts';
import { watched } from '../run/notify/watch.ts';
import { describeNow } from '../run/now.ts';
import { executionOf, nextFor, reopen } from '../run/reopen.ts';
import { follow, type Followed } from '../run/steer/follow.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { notifying, toldOf } from './running/notifying.ts';
import { repeatFlags } from './arguments/repeat-flags.ts';
import { withSignals } from './running/signals.ts';
import { chooseRun, surroundingsOf, withStore } from './shared/surroundings.ts';

export async function run(
  [named]: readonly (string | undefined)[],
  options: Options,
  io: CommandIo,
): Promise<ExitCode> {
  return withStore(options, async (store) => {
    const chosen = await chooseRun(store, named, { to: 'abort', phases: BEFORE_THE_END });
    const writer = await store.writer(chosen.run);
    if (writer !== undefined) {
      const asked = await askToUnwind(store, chosen, writer, io);
      if (asked !== undefined) return asked;
    }
    return unwindHere(store, chosen, options, io);
  });
}

/** Lets the process that works on the run unwind it; undefined when it went away before it had. */
async function askToUnwind(
  store: JournalStore,
  chosen: RunState,
  writer: string,
  io: CommandIo,
): Promise<ExitCode | undefined> {
  const seen = (await store.read(chosen.run)).length;
  const ask = async (signal: AbortSignal): Promise<Followed> => {
    const request = await store.post(chosen.run, { kind: 'abort', by: io.operator, seq: seen });
    try {
      io.err(`Asked ${writer} to put everything back.`);
      const screen = new LineScreen((line) => io.err(line));
      screen.start(chosen.plan);
      return await follow(store, chosen.run, seen, (event) => screen.event(event), signal);
    } finally {
      await store.withdraw(chosen.run, request.id);
    }
  };
  const means = 'the request is taken back, unless it was heard already';
  const { state, abandoned } = await withSignals(io.err, ask, { means });
  // It was on its way to be held when it heard of it: there is somebody here who can put it back.
  if (abandoned || state.phase === 'held') return undefined;
  io.err(`\n${runText(state, nextFor(state), io.errStyle)}`);
  return state.phase === 'stuck' ? EXIT.stuck : EXIT.done;
}

async function unwindHere(
  store: JournalStore,
  chosen: RunState,
  options: Options,
  io: CommandIo,
): Promise<ExitCode> {
  // What puts things back is finished once it is begun; a signal only says so.
  const means = 'putting everything back goes on to its end';
  const around = await surroundingsOf(options);
  const work = async (outbox: Outbox): Promise<ExitCode> => {
    const reopened = await reopen(store, chosen.run, BEFORE_THE_END, around);
    try {
      const { state } = reopened;
      const lines = new LineScreen((line) => io.err(line));
      const screen = watched(lines, outbox, { state, spell: repeatFlags(options) });
      const result = await abort(reopened, executionOf(reopened, screen, new AbortController().signal));
      const now = [...result.undone, ...(await describeNow(reopened.drivers, chosen.plan.names))];
      if (result.outcome === 'stuck') {
        io.err(errorText(result.error, io.errStyle, now));
        return EXIT.stuck;
      }
      if (result.outcome === 'completed') {
        const state = fold(await reopened.journal.read());
        io.err(`The switch of run ${chosen.run} had come through: green is live, and the run is completed.`);
        io.err(`Next: ${nextFor(state)}`);
      } else io.err(`Run ${chosen.run} is unwound.\n${now.map((line) => `  ${line}`).join('\n')}`);
      return EXIT.done;
    } finally {
      await reopened.end();
    }
  };
  return notifying(io, around, toldOf(chosen.plan), (outbox) =>
    withSignals(io.err, () => work(outbox), { means }),
  );
}
