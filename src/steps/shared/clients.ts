import { messageOf } from '../../core/errors.ts';
import type { StepContext } from '../../core/step.ts';
import type { Hold } from '../../core/drivers/target.ts';
import { allOrNone } from '../../util/turns/all-or-none.ts';
import { undoLead } from '../live/lead.ts';
import { assertNotLive } from './not-live.ts';

type Targets = Pick<StepContext, 'targets'>;

/** What can hold clients for a moment. */
const holdsOf = ({ targets }: Targets): Hold[] => targets.flatMap(({ target }) => target.hold ?? []);

/** Everything that can be done before clients are held. */
export async function readyToHold(context: Targets): Promise<void> {
  await Promise.all(holdsOf(context).map((hold) => hold.ready()));
}

/**
 * Holds all clients: one that goes on would write where nobody follows any more. Throws when the signal fires first; none
 * is still on its way into the pause then, and `releaseClients` must follow.
 */
export async function holdClients(context: Targets, signal: AbortSignal): Promise<void> {
  await allOrNone(
    holdsOf(context).map((hold) => (either) => hold.pause(either)),
    signal,
  );
}

/** Clients that wait go on; repeatable. One that cannot be reached keeps none of the others waiting. */
export async function releaseClients(context: Targets): Promise<boolean> {
  const released = await Promise.allSettled(holdsOf(context).map((hold) => hold.release()));
  for (const each of released) if (each.status === 'rejected') throw each.reason as Error;
  return released.some((each) => each.status === 'fulfilled' && each.value);
}

/**
 * After `releaseClients`: waits until nothing of the pause is left, in targets either. Clients go on by then and the run is
 * what it is, so that what cannot be tidied is only told.
 */
export async function tidyTargets(context: Targets): Promise<void> {
  for (const { name, target } of context.targets) {
    const tidied = await Promise.allSettled([target.unstage?.(), target.hold?.tidy()]);
    for (const each of tidied)
      if (each.status === 'rejected')
        process.emitWarning(`${name} could not be tidied up after the pause: ${messageOf(each.reason)}`);
  }
}

/** Blue takes clients again, after an attempt that closed it or held them; gives a line when there was something to do. */
export async function letClientsOn(context: StepContext): Promise<string | undefined> {
  const blue = await context.database.state('blue');
  const closed = blue?.closed === true && blue.mark === undefined;
  // What cannot be led back keeps neither blue closed nor anybody held.
  const [led] = await Promise.allSettled([closed && undoLead(context, { from: 'blue', to: 'green' })]);
  if (closed) {
    await assertNotLive(context);
    await context.database.open('blue');
  }
  const held = await releaseClients(context);
  if (led.status === 'rejected') throw led.reason as Error;
  return closed || held ? `${context.plan.names.blue} accepts connections again` : undefined;
}
