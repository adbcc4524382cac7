import type { Baseline, WriteReport } from '../../core/database/database.ts';
import { RefusedError, StepError, StuckError, type ExitCode } from '../../core/errors.ts';
import type { Side } from '../../core/side.ts';
import type { PlannedStep } from '../../core/plan.ts';
import type { StepContext } from '../../core/step.ts';
import { putBack, swap } from '../../steps/shared/swap.ts';
import { uninterrupted } from '../../steps/shared/control.ts';
import type { VerifyOutput } from '../../steps/verify.ts';
import { plural } from '../../util/units.ts';
import { recordOf } from '../engine/error-record.ts';
import { contextOf, type Execution } from '../engine/execution.ts';
import { liveSide } from '../engine/live.ts';
import { settleHalfLive, swapBackLive } from './swap-back-live.ts';
import { refusing } from '../refusing.ts';
import type { Reopened } from '../reopen.ts';

export interface SwapBackOptions {
  readonly operator: string;
  readonly acceptDataLoss: boolean;
  /** The side that is to be live: blue, but for a run that follows and is switched once more. */
  readonly to: Side;
  /** Of the run, when it swaps back by itself. */
  readonly exit?: ExitCode;
  /** Says what would be lost, and asks; false calls it off. */
  confirm(leftBehind: readonly string[]): Promise<boolean>;
}

export interface SwappedBack {
  /** Undefined when a process before this one had moved everything. */
  readonly ms: number | undefined;
  /** What was written since the switch and stays in the copy that was live; a line each. */
  readonly leftBehind: readonly string[];
}

const STEP: PlannedStep = {
  id: 'swap-back',
  kind: 'switch',
  title: 'Swap back: the previous copy becomes live',
  does: [],
  undo: '',
  ownership: 'moves',
  input: {},
};

/**
 * Puts the previous copy back. Refuses when rows were written since the switch, unless their loss was accepted; they
 * stay in the copy that was live, which is kept closed until it is retired.
 */
export async function swapBack(
  reopened: Pick<Reopened, 'state'>,
  execution: Execution,
  options: SwapBackOptions,
): Promise<SwappedBack> {
  const context = contextOf(execution, STEP);
  const { database } = context;
  const { phase, leftBehind } = reopened.state;
  const settle = context.plan.live ? settleHalfLive : settleHalf;
  if (phase === 'swapping back' && (await settle(context, execution, leftBehind, options.to)))
    return { ms: undefined, leftBehind };
  if (context.plan.live)
    return swapBackLive(context, execution, {
      ...options,
      passedOver: reopened.state.passedOver[options.to],
    });
  await assertPlaces(context);
  // Before anything is closed: a target that cannot be moved is no reason to stop anybody.
  await refusing(async () => {
    for (const { target } of context.targets) await target.prepare('green', 'blue');
  });
  const baseline = baselineOf(reopened);
  const writes = await database.writesSince('green', baseline);
  const lines = describeWrites(writes);
  if (lines.length > 0 && !options.acceptDataLoss) throw new RefusedError(LOSS, lossDetails(lines));
  if (!(await options.confirm(lines))) {
    throw new RefusedError('the swap back was called off', { hint: 'nothing was touched' });
  }

  await context.record({
    type: 'swap-back-started',
    operator: options.operator,
    acceptDataLoss: options.acceptDataLoss,
  });
  try {
    const { ms, leftBehind: final } = await move(context, baseline, options.acceptDataLoss);
    await context.record({
      type: 'swap-back-finished',
      ms: Math.round(ms),
      leftBehind: final,
      ...(options.exit === undefined ? {} : { exit: options.exit }),
    });
    return { ms, leftBehind: final };
  } catch (error) {
    const settled = await reopenGreen(context, execution, error);
    await context.record({ type: 'swap-back-failed', error: recordOf(error), settled });
    throw error;
  }
}

async function move(
  context: StepContext,
  baseline: Baseline,
  acceptDataLoss: boolean,
): Promise<{ ms: number; leftBehind: readonly string[] }> {
  const started = performance.now();
  await context.database.close('green', context.plan.longTransactions, uninterrupted(context));
  // Between the first count and the fence clients went on writing: what counts is what is there now.
  const writes = await context.database.writesSince('green', baseline);
  const lines = describeWrites(writes);
  if (lines.length > 0 && !acceptDataLoss)
    throw new StepError(`${LOSS}; green was opened again`, lossDetails(lines));
  // Before anything moves: a process that finishes what this one began cannot count any more.
  await context.record({ type: 'swap-back-counted', leftBehind: lines });
  await swap(context, 'green', 'blue');
  return { ms: performance.now() - started, leftBehind: lines };
}

/**
 * Settles a swap back whose process died: it had come through, which is recorded and told by true; or everything is
 * put back to green, and the swap back can begin anew.
 */
async function settleHalf(
  context: StepContext,
  execution: Execution,
  leftBehind: readonly string[],
): Promise<boolean> {
  const { database, targets } = context;
  const blue = await database.state('blue');
  const sides = await Promise.all(targets.map(({ target }) => target.current()));
  if (blue && !blue.closed && sides.every((side) => side === 'blue')) {
    if (execution.live === 'green')
      await context.record({ type: 'ownership-moved', from: 'green', to: 'blue' });
    await context.record({ type: 'swap-back-finished', ms: 0, leftBehind });
    return true;
  }
  await putBack(context, 'green', 'blue');
  await database.open('green');
  if (execution.live === 'blue') await context.record({ type: 'ownership-moved', from: 'blue', to: 'green' });
  const error = { message: 'the process died half-way; everything was put back', kind: 'Died' };
  await context.record({ type: 'swap-back-failed', error, settled: true });
  return false;
}

async function assertPlaces(context: StepContext): Promise<void> {
  const [blue, green] = [await context.database.state('blue'), await context.database.state('green')];
  if (!blue) {
    throw new RefusedError('the previous copy is not on the server any more', {
      hint: 'there is nothing to go back to',
    });
  }
  if (!green) throw new RefusedError('the live database of this run is not on the server any more');
  if (blue.mark?.run !== context.run || blue.mark.as !== 'previous') {
    throw new RefusedError(`database ${blue.name} does not carry the mark of run ${context.run}`, {
      hint: 'a later run may have taken over; see: cutover runs',
    });
  }
  if (!blue.closed) {
    throw new RefusedError(
      `the previous copy ${blue.name} accepts connections: it may have rows of its own by now`,
      {
        hint: 'compare it with the live database by hand; cutover does not overwrite what it did not see',
      },
    );
  }
}

function baselineOf(reopened: Pick<Reopened, 'state'>): Baseline {
  const output = reopened.state.steps['verify']?.output as VerifyOutput | undefined;
  if (!output) throw new RefusedError('the journal has no record of where green stood at the switch');
  return output.baseline;
}

/** `3 rows inserted or updated in public.shops; 1 row of before updated or deleted in public.users` */
export function describeWrites(writes: WriteReport): string[] {
  const lines = [...writes.schema];
  for (const { table, newer, lost } of writes.tables) {
    if (newer > 0n) lines.push(`${plural(newer, 'row')} inserted or updated in ${table}`);
    if (lost > 0n) lines.push(`${plural(lost, 'row')} of before updated or deleted in ${table}`);
  }
  return lines;
}

const LOSS = 'a swap back would lose what was written since the switch';

const lossDetails = (lines: readonly string[]) => ({
  detail: lines.map((line) => `  ${line}`).join('\n'),
  hint: 'to go back all the same: cutover swap-back --accept-data-loss --yes (the rows stay in the copy until it is retired)',
});

/**
 * Green was closed for the swap. When that is called off and green is live, clients go on there; says whether all is
 * settled by that.
 */
async function reopenGreen(context: StepContext, execution: Execution, error: unknown): Promise<boolean> {
  if (error instanceof StuckError) return false;
  try {
    // Ownership that never moved, or moved back, is with green whatever a target says, or cannot say, by now.
    if (execution.live !== 'green' && (await liveSide(execution.drivers)) !== 'green') return false;
    if ((await context.database.state('blue'))?.closed === false) return false;
    await context.database.open('green');
    return true;
  } catch {
    return false;
  }
}
