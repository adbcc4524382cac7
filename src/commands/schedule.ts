import { EXIT, type ExitCode } from '../core/errors.ts';
import { keepOn, once, type Scheduling } from '../schedule/schedule.ts';
import { start } from '../util/exec.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { givenFlags } from './shared/repeat-flags.ts';
import { withSignals } from './shared/signals.ts';
import { surroundingsOf } from './shared/surroundings.ts';

type ScheduleOptions = Options<{ once?: true }>;

/** Makes unattended runs in their maintenance windows. */
export async function run(
  [places]: readonly unknown[],
  options: ScheduleOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  return withSignals(
    io.err,
    async (signal) => {
      const scheduling: Scheduling = {
        places: places as readonly string[],
        env: around.env,
        stateFolder: around.stateFolder,
        signal,
        run: (file, until) => runOne(file, until, options, signal),
        say: (line) => io.err(`${new Date().toISOString()}  ${line}`),
      };
      if (!options.once) {
        // On a clock that jumps the beat would lose its way; windows are computed on clocks of their own.
        process.env['TZ'] = 'UTC';
        await keepOn(scheduling);
        return EXIT.done;
      }
      const exit = await once(scheduling);
      return CODES.find((code) => code === exit) ?? EXIT.internal;
    },
    { unattended: true, means: 'a run in flight is put back, or settles its switch; then this ends' },
  );
}

const CODES = Object.values(EXIT);
/** What hooks and migration tools find is what whoever started the scheduler has set. */
const { TZ: ownZone } = process.env;

/** The run is a process of its own: what becomes of it does not take the scheduler along. Its journal says the rest. */
function runOne(
  file: string,
  until: Date,
  options: ScheduleOptions,
  signal: AbortSignal,
): Promise<number | null> {
  const words = ['run', file, '--until', until.toISOString()];
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
