import { EXIT, messageOf, RefusedError, UsageError, type ExitCode } from '../../core/errors.ts';
import type { RunState } from '../../journal/fold.ts';
import type { JournalStore } from '../../journal/journal.ts';
import { formatDuration, parseDuration, plural } from '../../util/units.ts';
import { askYesNo } from './ask.ts';
import type { CommandIo, Options } from './io.ts';
import { withSignals } from '../running/signals.ts';
import { allRuns, isOver } from './surroundings.ts';

export type PruneOptions = Options<{ prune?: string; yes?: true; json?: true }>;

/** Over for so long, and of no use to anybody: an approval that has not ended must be known to be used up. */
function isPast(state: RunState, before: number): boolean {
  const { endedAt, approval } = state;
  const usedUp = approval === undefined || Date.parse(approval.until) <= Date.now();
  return isOver(state) && endedAt !== undefined && Date.parse(endedAt) < before && usedUp;
}

/** Removes the journals of runs that are over since long; never of one that something can still be done with. */
export async function prune(
  store: JournalStore,
  { prune: age, yes, json }: PruneOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const ms = parseDuration(age!);
  if (ms === undefined)
    throw new UsageError(`--prune ${age} is no length of time`, { hint: 'write one such as 90d' });
  const { states, damaged } = await allRuns(store);
  const past = states.filter((state) => isPast(state, Date.now() - ms));
  for (const { run } of damaged) io.err(`${run}  cannot be read, and stays`);
  const what = `${plural(past.length, 'run')} over for more than ${formatDuration(ms)}`;
  if (past.length > 0 && !yes) {
    for (const { run, plan, phase, endedAt } of past)
      io.err(`${run}  ${plan.name}  ${phase}, ended ${endedAt}`);
    if (!io.interactive)
      throw new RefusedError(`removing ${what} needs a yes, and there is no terminal to ask at`, {
        hint: `cutover runs --prune ${age} --yes`,
      });
    const sure = await withSignals(io.err, (signal) => askYesNo(`Remove ${what} for good?`, signal), {
      means: 'nothing is removed',
    });
    if (!sure) throw new RefusedError('nothing was removed');
  }
  const removed: string[] = [];
  let failed = false;
  for (const { run, plan, phase, endedAt } of past) {
    try {
      await store.remove(run);
      removed.push(run);
      if (!json) io.out(`removed ${run}  ${plan.name}  ${phase}, ended ${endedAt}`);
    } catch (error) {
      failed = true;
      io.err(`${run}  stays: ${messageOf(error)}`);
    }
  }
  if (json) io.out(JSON.stringify({ removed }, null, 2));
  else if (past.length === 0) io.err(`There are no runs over for more than ${formatDuration(ms)}.`);
  return failed ? EXIT.refused : EXIT.done;
}
