import { BakeError, EXIT, messageOf, StuckError } from '../../core/errors.ts';
import type { RunState } from '../../journal/fold.ts';
import { fold } from '../../journal/fold.ts';
import { formatDuration } from '../../util/units.ts';
import type { Execution } from '../engine/execution.ts';
import type { Result } from '../engine/result.ts';
import { swapBack } from './swap-back.ts';

/** After a bake that failed: swaps back where that is to follow, and never at the price of a row. Never throws. */
export async function settleBake(execution: Execution, result: Result, operator: string): Promise<Result> {
  const { error } = result;
  if (!(error instanceof BakeError) || error.then === 'hold') return result;
  try {
    const state = fold(await execution.journal.read());
    // The signal may be what ended the bake.
    const alone = { ...execution, signal: new AbortController().signal };
    const { ms } = await swapBack({ state }, alone, {
      operator,
      acceptDataLoss: false,
      to: 'blue',
      exit: EXIT.swappedBack,
      confirm: () => Promise.resolve(true),
    });
    const took = ms === undefined ? '' : ` in ${formatDuration(ms)}`;
    return {
      ...result,
      exit: EXIT.swappedBack,
      undone: [`swapped back${took}: ${state.plan.names.blue} is live again, and nothing is lost`],
    };
  } catch (failed) {
    return { ...result, exit: EXIT.stuck, error: notBack(error, failed, execution.plan) };
  }
}

function notBack(error: BakeError, failed: unknown, { run }: RunState['plan']): StuckError {
  const { detail, hint } = failed as { detail?: string; hint?: string };
  return new StuckError(`${error.message}; and it was not swapped back: ${messageOf(failed)}`, {
    cause: failed,
    detail,
    hint: `see what is live: cutover status ${run}${hint === undefined ? '' : `; ${hint}`}`,
  });
}
