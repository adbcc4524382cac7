import { messageOf } from '../core/errors.ts';
import type { Database } from '../core/database/database.ts';
import type { Lag, Way, WayBack } from '../core/database/live.ts';
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
export const readMeter = (state: RunState, around: () => Promise<Surroundings>): Promise<Meter | undefined> =>
  asked(state, around, async ({ live }, way) => {
    const { plan, phase, steps, passedOver } = state;
    if (phase === 'held') return { following: await live.lag(way) };
    const verify = plan.steps.find(({ kind }) => kind === 'verify');
    const outputOf = (): unknown => verify && steps[verify.id]?.output;
    const found = await live.wayBack(way, sinceOf({ outputOf }, way));
    return { ...found, spoilers: [...found.spoilers, ...passedOver[way.to]] };
  });

/** How far the side that is not live is behind; undefined for runs in which nobody follows anybody. Reads only. */
export const readLag = (
  state: RunState,
  around: () => Promise<Surroundings>,
): Promise<Lag | { readonly unknown: string } | undefined> =>
  asked(state, around, ({ live }, way) => live.lag(way));

async function asked<T>(
  state: RunState,
  around: () => Promise<Surroundings>,
  ask: (database: Database, way: Way) => Promise<T>,
): Promise<T | { readonly unknown: string } | undefined> {
  const { plan, phase, live } = state;
  if (!plan.live || !['held', 'completed', 'swapped back'].includes(phase)) return undefined;
  try {
    const drivers = await openStored(plan, greenOid(state), await around());
    try {
      drivers.database.setPatience(0);
      return await ask(drivers.database, { from: live, to: other(live) });
    } finally {
      await drivers.end();
    }
  } catch (error) {
    return { unknown: messageOf(error) };
  }
}
