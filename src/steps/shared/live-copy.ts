import { StepError } from '../../core/errors.ts';
import type { ClonePlan } from '../../core/clone.ts';
import type { StepContext } from '../../core/step.ts';
import { formatDuration } from '../../util/units.ts';
import { controlOf } from './control.ts';
import { holdsOf, letClientsOn } from './clients.ts';
import { livePlan } from './live-plan.ts';

/**
 * A copy that can be followed: what is written from the very moment of it on is kept for green. A dump takes its own
 * snapshot; a template stands still only while clients are held.
 */
export async function liveCopy(context: StepContext): Promise<{ oid: number; heldMs?: number }> {
  const { database } = context;
  const plan = context.step.input as ClonePlan;
  const { follow, clone } = livePlan(context);
  const made =
    clone.method === 'dump'
      ? await database.live.copy(plan, controlOf(context))
      : await context.guarded(() => holding(context, plan));
  await database.live.tidyCopy(follow);
  return made;
}

async function holding(context: StepContext, plan: ClonePlan): Promise<{ oid: number; heldMs: number }> {
  const { database } = context;
  const { pause } = livePlan(context).clone;
  const holds = holdsOf(context);
  await Promise.all(holds.map((hold) => hold.ready()));
  const over = new AbortController();
  const timer = setTimeout(() => {
    over.abort(
      new StepError(`clients were held for ${formatDuration(pause)}, and the copy was not made by then`, {
        hint: 'give it more time: clone: { pause: … }; or copy without holding anybody: clone: { method: dump }',
      }),
    );
  }, pause);
  const signal = AbortSignal.any([context.signal, over.signal]);
  const control = { ...controlOf(context), signal };
  const started = performance.now();
  let oid: number;
  try {
    await Promise.all(holds.map((hold) => hold.pause(signal)));
    await database.close('blue', context.plan.longTransactions, control);
    signal.throwIfAborted();
    await database.live.capture();
    signal.throwIfAborted();
    ({ oid } = await database.clone(plan, control));
  } finally {
    clearTimeout(timer);
    await letClientsOn(context);
  }
  return { oid, heldMs: performance.now() - started };
}
