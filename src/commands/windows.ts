import { EXIT, UsageError, type ExitCode } from '../core/errors.ts';
import { loadPlaybook } from '../playbook/load.ts';
import { standingText } from '../report/approval.ts';
import { windowsText } from '../report/windows.ts';
import { leftOutOf, nextOpenings } from '../schedule/calendar.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { standingFor } from './approvals/standing.ts';
import { surroundingsOf } from './shared/surroundings.ts';

type WindowsOptions = Options<{ count?: string; json?: true }>;

/** So far is told what is left out, where nothing else is. */
const YEAR_MS = 366 * 24 * 3600 * 1000;

/** When the windows of a playbook open next. */
export async function run(
  [file]: readonly (string | undefined)[],
  options: WindowsOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const playbook = await loadPlaybook(file!, around.env);
  const { windows } = playbook;
  if (windows.length === 0)
    throw new UsageError('the playbook has no window', {
      where: file,
      hint: 'window: { cron: 30 3 * * SUN, timezone: Europe/Berlin, duration: 2h }',
    });
  const count = Number(options.count ?? 10);
  if (!Number.isInteger(count) || count < 1 || count > 1000)
    throw new UsageError(`--count ${options.count} is no whole number from 1 to 1000`);
  const now = Date.now();
  const openings = nextOpenings(windows, now, count);
  if (options.json)
    io.out(
      JSON.stringify(
        openings.map(({ key, zone, ...times }) => ({
          key,
          zone,
          opens: new Date(times.opens).toISOString(),
          closes: new Date(times.closes).toISOString(),
          latestStart: new Date(times.latestStart).toISOString(),
        })),
        null,
        2,
      ),
    );
  else {
    const leftOut = leftOutOf(windows, now, openings.at(-1)?.opens ?? now + YEAR_MS);
    io.out(windowsText(openings, leftOut, new Intl.DateTimeFormat().resolvedOptions().timeZone));
    if (playbook.approval !== 'none')
      io.out(`\n${standingText(playbook, await standingFor(playbook, options, around), undefined)}`);
  }
  return EXIT.done;
}
