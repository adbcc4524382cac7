import { EXIT, UsageError, type ExitCode } from '../core/errors.ts';
import { alone } from '../schedule/alone.ts';
import { heldRun } from '../schedule/held.ts';
import { leftRuns } from '../schedule/left.ts';
import type { Places } from '../schedule/places.ts';
import { keepOn, once, type Scheduling } from '../schedule/schedule.ts';
import { start } from '../util/exec.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { jobsOf } from './arguments/lists.ts';
import { delivered } from './running/notifying.ts';
import { givenFlags } from './arguments/repeat-flags.ts';
import { keepMetrics, Teller, type MetricsOptions } from './shared/scheduling.ts';
import { withSignals } from './running/signals.ts';
import { surroundingsOf, withStore } from './shared/surroundings.ts';

type ScheduleOptions = MetricsOptions & Options<{ once?: true; jobs?: string }>;

/** Makes unattended runs in their maintenance windows. */
export async function run(
  [given]: readonly unknown[],
  options: ScheduleOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const say = (line: string): void => io.err(`${new Date().toISOString()}  ${line}`);
  const places: Places = { places: given as readonly string[], env: around.env, say };
  if (options.metricsHost !== undefined && options.metricsPort === undefined)
    throw new UsageError('--metrics-host is of no use without --metrics-port');
  const teller = new Teller(options, around, say);
  const metrics = await keepMetrics(options, places, around, say);
  const watch = async (signal: AbortSignal): Promise<ExitCode> => {
    const scheduling: Scheduling = {
      ...places,
      stateFolder: around.stateFolder,
      now: Date.now,
      jobs: jobsOf(options.jobs, 1),
      signal,
      held: (name) => withStore(options, (store) => heldRun(store, name)),
      left: (names) => withStore(options, (store) => leftRuns(store, names)),
      command: (words) => perform(words, options, signal),
      unsettled: true,
      tell: (playbook, untold) => teller.tell(playbook, untold),
      onBeat: () => metrics.refresh(),
      known: new Map(),
    };
    if (!options.once) {
      // On a clock that jumps the beat would lose its way; windows are computed on clocks of their own.
      process.env['TZ'] = 'UTC';
      await keepOn(scheduling);
      return EXIT.done;
    }
    const exit = await once(scheduling);
    return CODES.find((code) => code === exit) ?? EXIT.internal;
  };
  const means = 'a run in flight is put back, or settles its switch; then this ends';
  try {
    return await alone(around.stateFolder, () => withSignals(io.err, watch, { unattended: true, means }));
  } finally {
    await metrics.end();
    await delivered(io, teller);
  }
}

const CODES = Object.values(EXIT);
/** What hooks and migration tools find is what whoever started the scheduler has set. */
const { TZ: ownZone } = process.env;

/** A process of its own: what becomes of it does not take the scheduler along. Its journal says the rest. */
function perform(
  words: readonly string[],
  options: ScheduleOptions,
  signal: AbortSignal,
): Promise<number | null> {
  const child = start(
    { file: process.execPath, args: ['--', process.argv[1]!, ...givenFlags(options), ...words] },
    // A group of its own: Ctrl-C reaches it once, from here.
    { stdio: ['ignore', 'inherit', 'inherit'], detached: true, env: { ...process.env, TZ: ownZone } },
  );
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      signal.removeEventListener('abort', end);
      resolve(code);
    });
  });
}
