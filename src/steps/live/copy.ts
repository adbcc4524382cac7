import { StepError } from '../../core/errors.ts';
import type { ClonePlan } from '../../core/database/clone.ts';
import type { StepContext } from '../../core/step.ts';
import { formatDuration } from '../../util/units.ts';
import { byTemplate } from '../shared/by-template.ts';
import { controlOf } from '../shared/control.ts';
import { holdClients, letClientsOn, readyToHold, tidyTargets } from '../shared/clients.ts';
import { insist } from '../shared/insist.ts';
import { livePlan } from './plan.ts';

/** What the clone leaves for later steps. */
export interface LiveCopyOutput {
  readonly oid: number;
  /** Milliseconds for which clients were held. */
  readonly heldMs?: number;
  /** The position of blue that the copy is of, where changes are kept from an earlier one on. */
  readonly point?: string;
}

/**
 * A copy that can be followed: what is written from the very moment of it on is kept for green. A dump takes its own
 * snapshot; a template stands still only while clients are held.
 */
export async function liveCopy(context: StepContext): Promise<LiveCopyOutput> {
  const { database } = context;
  const plan = context.step.input as ClonePlan;
  const { follow, clone } = livePlan(context);
  const made =
    clone.method === 'dump'
      ? await database.live.copy(plan, controlOf(context))
      : await holding(context, plan);
  await database.live.tidyCopy(follow);
  return made;
}

async function holding(context: StepContext, plan: ClonePlan): Promise<LiveCopyOutput> {
  // This one waits for whoever writes, and clients must not wait with it.
  await context.database.live.capture(controlOf(context));
  await readyToHold(context);
  return context.guarded(async () => {
    const started = performance.now();
    let made: { oid: number; point: string };
    try {
      made = await copyInPause(context, plan);
    } finally {
      await insist(() => letClientsOn(context), 'clients were held for the copy, and could not be let go on');
    }
    const heldMs = performance.now() - started;
    await tidyTargets(context);
    return { ...made, heldMs };
  });
}

async function copyInPause(context: StepContext, plan: ClonePlan): Promise<{ oid: number; point: string }> {
  const { database } = context;
  const { pause } = livePlan(context).clone;
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
  try {
    await holdClients(context, signal);
    await database.close('blue', context.plan.longTransactions, control);
    signal.throwIfAborted();
    const point = await database.live.point();
    const { oid } = await byTemplate(context, plan, control);
    return { oid, point };
  } finally {
    clearTimeout(timer);
  }
}
