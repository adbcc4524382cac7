import { other, type Side } from '../../core/side.ts';
import { NotPutBack, RefusedError, StuckError, type ExitCode } from '../../core/errors.ts';
import type { Way, WayBack } from '../../core/database/live.ts';
import type { StepContext } from '../../core/step.ts';
import { fails, makeRoom } from '../../steps/sync.ts';
import { releaseClients } from '../../steps/shared/clients.ts';
import { catchUpWithout } from '../../steps/live/pass-over.ts';
import { putBack, takesClients } from '../../steps/shared/swap.ts';
import { swapLive } from '../../steps/live/swap.ts';
import type { LiveVerifyOutput } from '../../steps/verify.ts';
import { recordOf } from '../engine/error-record.ts';
import type { Execution } from '../engine/execution.ts';
import { liveSide } from '../engine/live.ts';
import { refusing } from '../refusing.ts';

export interface LiveSwapBackOptions {
  readonly operator: string;
  readonly acceptDataLoss: boolean;
  /** The side that is to be live. */
  readonly to: Side;
  readonly exit?: ExitCode;
  /** Transactions that the side has passed over before; a line each. */
  readonly passedOver: readonly string[];
  confirm(leftBehind: readonly string[]): Promise<boolean>;
}

/**
 * Makes the previous copy live again while clients write: it has followed since the switch, and has everything. What it
 * cannot hold is told beforehand, and stays in the copy that was live.
 */
export async function swapBackLive(
  context: StepContext,
  execution: Execution,
  options: LiveSwapBackOptions,
): Promise<{ ms: number; leftBehind: readonly string[] }> {
  const way: Way = { from: other(options.to), to: options.to };
  await assertFollows(context, way);
  await refusing(async () => {
    for (const { target } of context.targets) await target.prepare(way.from, way.to);
  });
  const found = await context.database.live.wayBack(way, sinceOf(context, way));
  refuseBroken(way, found, options.acceptDataLoss);
  const known = [...found.spoilers, ...options.passedOver];
  if (known.length > 0 && !options.acceptDataLoss) {
    throw new RefusedError('a swap back would lose what the previous copy cannot hold', {
      detail: known.map((line) => `  ${line}`).join('\n'),
      hint: fails(found.lag)
        ? makeRoom(way, found.lag)
        : 'to go back all the same: cutover swap-back --accept-data-loss --yes (the rows stay in the copy until it is retired)',
    });
  }
  if (!(await options.confirm(fails(found.lag) && found.lag.failed !== 0 ? [...known, WHOLE] : known)))
    throw new RefusedError('the swap back was called off', { hint: 'nothing was touched' });
  await context.record({
    type: 'swap-back-started',
    operator: options.operator,
    acceptDataLoss: options.acceptDataLoss,
    to: way.to,
  });
  try {
    const passed = options.acceptDataLoss ? await catchUpWithout(context, way) : [];
    const leftBehind = [...new Set([...known, ...passed])];
    await context.record({ type: 'swap-back-counted', leftBehind });
    const { ms } = await swapLive(context, way.from);
    await context.database.live.settle(way);
    await context.record({
      type: 'swap-back-finished',
      ms: Math.round(ms),
      leftBehind,
      ...(options.exit === undefined ? {} : { exit: options.exit }),
    });
    return { ms, leftBehind };
  } catch (error) {
    const broken = error instanceof StuckError || error instanceof NotPutBack;
    const settled = !broken && execution.live === way.from;
    await context.record({ type: 'swap-back-failed', error: recordOf(error), settled });
    throw error;
  }
}

const WHOLE = 'whatever else was written in one transaction with what does not fit';

/** From where on rows in tables that only the live side has are new; undefined when there are none of those. */
export const sinceOf = (context: Pick<StepContext, 'outputOf'>, { from }: Way): string | undefined =>
  from === 'green' ? (context.outputOf('verify') as LiveVerifyOutput | undefined)?.since : undefined;

function refuseBroken(way: Way, { lag }: WayBack, acceptDataLoss: boolean): void {
  if (lag.error === undefined || (acceptDataLoss && fails(lag))) return;
  throw new RefusedError('the previous copy does not follow any more, and lacks what was written since', {
    detail: lag.error,
    hint: fails(lag)
      ? makeRoom(way, lag)
      : 'there is no way back any more; the previous copy stays as it is until it is retired',
  });
}

async function assertFollows({ database, run }: StepContext, { from, to }: Way): Promise<void> {
  const [live, kept] = [await database.state(from), await database.state(to)];
  if (!kept)
    throw new RefusedError('the previous copy is not on the server any more', {
      hint: 'there is nothing to go back to',
    });
  if (!live) throw new RefusedError('the live database of this run is not on the server any more');
  if (kept.mark?.run !== run || kept.mark.as !== 'previous') {
    throw new RefusedError(`database ${kept.name} does not carry the mark of run ${run}`, {
      hint: 'a later run may have taken over; see: cutover runs',
    });
  }
}

/**
 * Settles a swap back whose process died: it had come through, which is finished and told by true; or everything is put
 * back, and the swap back can begin anew.
 */
export async function settleHalfLive(
  context: StepContext,
  execution: Execution,
  leftBehind: readonly string[],
  to: Side,
): Promise<boolean> {
  const { database } = context;
  const way: Way = { from: other(to), to };
  const side = await liveSide(execution.drivers);
  if (side === to && takesClients(await database.state(to))) {
    if (execution.live === way.from) await context.record({ type: 'ownership-moved', ...way });
    await releaseClients(context);
    await database.live.settle(way);
    await context.record({ type: 'swap-back-finished', ms: 0, leftBehind });
    return true;
  }
  // What the tool has led ahead leads to a side that is closed.
  if (side !== way.from && execution.live === way.from && (await database.state(to))?.closed !== true)
    throw new StuckError(
      `${to} was opened by somebody in the middle of the swap, and may have taken writes`,
      {
        hint: `find out which database is live, lead every target to it, then: cutover status ${context.run}`,
      },
    );
  await putBack(context, way.from, way.to);
  await database.live.reopen(way);
  await releaseClients(context);
  await database.live.stepBack(way);
  if (execution.live === to) await context.record({ type: 'ownership-moved', from: to, to: way.from });
  const error = { message: 'the process died half-way; everything was put back', kind: 'Died' };
  await context.record({ type: 'swap-back-failed', error, settled: true });
  return false;
}
