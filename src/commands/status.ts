import { EXIT, type ExitCode } from '../core/errors.ts';
import { fold, type RunState } from '../journal/fold.ts';
import type { JournalStore } from '../journal/journal.ts';
import { runText } from '../report/run.ts';
import { meterText } from '../report/meter.ts';
import { readMeter } from '../run/meter.ts';
import { nextFor } from '../run/reopen.ts';
import { JsonScreen, LineScreen } from '../run/screen/lines.ts';
import { follow, isAtWork } from '../run/steer/follow.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { chooseRun, runToShow, surroundingsOf, withStore } from './shared/surroundings.ts';

type StatusOptions = Options<{ json?: true; watch?: true }>;

/** What the journal says; of a run that follows, the servers are asked besides how far that is. */
export async function run(
  [named]: readonly (string | undefined)[],
  options: StatusOptions,
  io: CommandIo,
): Promise<ExitCode> {
  return withStore(options, async (store) => {
    const state = named === undefined ? await runToShow(store) : await chooseRun(store, named);
    if (options.watch) return watch(store, state, options, io);
    const writer = await store.writer(state.run);
    const meter = await readMeter(state, () => surroundingsOf(options));
    if (options.json)
      io.out(
        JSON.stringify(
          {
            ...state,
            writer: writer ?? null,
            ...(meter && ('following' in meter ? meter : { wayBack: meter })),
          },
          null,
          2,
        ),
      );
    else
      io.out(
        runText(
          state,
          nextFor(state),
          io.outStyle,
          atWork(state, writer),
          meter && meterText(meter, io.outStyle, state.phase === 'held'),
        ),
      );
    return EXIT.done;
  });
}

async function watch(
  store: JournalStore,
  { run, plan }: RunState,
  options: StatusOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const screen = options.json
    ? new JsonScreen((line) => io.out(line))
    : new LineScreen((line) => io.out(line));
  screen.start(plan);
  await follow(store, run, 0, (event) => screen.event(event));
  if (options.json) return EXIT.done;
  const state = fold(await store.read(run));
  io.out(`\n${runText(state, nextFor(state), io.outStyle, atWork(state, await store.writer(run)))}`);
  return EXIT.done;
}

function atWork(state: RunState, writer: string | undefined): string | undefined {
  if (!isAtWork(state)) return undefined;
  return writer === undefined ? 'no process works on it any more' : `at work: ${writer}`;
}
