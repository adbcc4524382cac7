import { EXIT, UsageError, type ExitCode } from '../core/errors.ts';
import { entryOf, runsText } from '../report/history.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { prune } from './shared/prune.ts';
import { allRuns, withStore } from './shared/surroundings.ts';

type RunsOptions = Options<{ json?: true; limit?: string; prune?: string; yes?: true }>;

/** Lists the runs, or removes those that are over since long. */
export async function run(
  _args: readonly (string | undefined)[],
  options: RunsOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const limit = limitOf(options);
  if (options.prune !== undefined) return withStore(options, (store) => prune(store, options, io));
  const { states, damaged } = await withStore(options, allRuns);
  const shown = limit === undefined ? states : states.slice(-limit);
  if (options.json) io.out(JSON.stringify(shown.map(entryOf), null, 2));
  else io.out(runsText(shown, io.outStyle));
  for (const { run, reason } of damaged) io.err(`${run}  cannot be read: ${reason}`);
  return damaged.length === 0 ? EXIT.done : EXIT.internal;
}

/** Of the newest; throws UsageError for options that do not go together. */
function limitOf({ limit, prune, yes }: RunsOptions): number | undefined {
  if (yes && prune === undefined) throw new UsageError('--yes is for --prune');
  if (limit === undefined) return undefined;
  if (prune !== undefined) throw new UsageError('--limit is for the list, and not for --prune');
  const count = Number(limit);
  if (Number.isSafeInteger(count) && count >= 1) return count;
  throw new UsageError(`--limit ${limit} is no whole number from 1`);
}
