import type { SideState } from '../../core/database/database.ts';
import { RefusedError } from '../../core/errors.ts';
import { other } from '../../core/side.ts';
import { recordOf } from '../engine/error-record.ts';
import type { Reopened } from '../reopen.ts';

/**
 * The database that `retire` would drop; undefined when it has gone already, by hand or by a `retire` that died.
 * Throws RefusedError when it is not what a previous copy should be.
 */
export async function previousCopy(reopened: Reopened): Promise<SideState | undefined> {
  const { state, drivers } = reopened;
  const side = other(state.live);
  const found = await drivers.database.state(side);
  if (!found) return undefined;
  for (const { name, target } of drivers.targets) {
    if ((await target.current()) === side) {
      throw new RefusedError(`${name} points at ${found.name}: it is live`, { hint: 'nothing was dropped' });
    }
  }
  const { live } = reopened.state.plan;
  const aside = live ? found.mark?.as === 'previous' && found.mark.run === reopened.state.run : found.closed;
  if (!aside) {
    throw new RefusedError(`database ${found.name} accepts connections; a previous copy is closed`, {
      hint: 'find out who opened it; nothing was dropped',
    });
  }
  return found;
}

/** Drops the previous copy of a run, if it is still there. The caller has made sure that a person named it. */
export async function retire(reopened: Reopened, operator: string, database: string): Promise<void> {
  const { journal, drivers, state } = reopened;
  await journal.append({ type: 'retire-started', operator, database });
  try {
    if (state.plan.live) await drivers.database.live.forget(state.plan.live.follow, state.live);
    await drivers.database.drop(other(state.live), 'previous');
  } catch (error) {
    await journal.append({ type: 'retire-failed', error: recordOf(error) });
    throw error;
  }
  await journal.append({ type: 'retire-finished', database });
}
