import { messageOf } from '../core/errors.ts';
import type { Lag, WayBack } from '../core/live.ts';
import { other } from '../core/side.ts';
import type { RunState } from '../journal/fold.ts';
import { openStored, type Surroundings } from './open.ts';
import { greenOid } from './reopen.ts';
import { sinceOf } from './after/swap-back-live.ts';

/** Whether a swap would be lossless now; of a run that is held how green follows; or why that is not known. */
export type Meter = WayBack | { readonly following: Lag } | { readonly unknown: string };

/**
 * Asks both servers whether the side that is not live still has everything. Reads only. Undefined for runs in which
 * nobody follows anybody.
 */
export async function readMeter(
  state: RunState,
  around: () => Promise<Surroundings>,
): Promise<Meter | undefined> {
  const { plan, phase, live } = state;
  if (!plan.live || !['held', 'completed', 'swapped back'].includes(phase)) return undefined;
  try {
    const drivers = await openStored(plan, greenOid(state), await around());
    try {
      drivers.database.setPatience(0);
      const way = { from: live, to: other(live) };
      if (phase === 'held') return { following: await drivers.database.live.lag(way) };
      const verify = plan.steps.find(({ kind }) => kind === 'verify');
      const outputOf = (): unknown => verify && state.steps[verify.id]?.output;
      return await drivers.database.live.wayBack(way, sinceOf({ outputOf }, way));
    } finally {
      await drivers.end();
    }
  } catch (error) {
    return { unknown: messageOf(error) };
  }
}
