import type { StepContext } from '../../core/step.ts';
import type { Hold } from '../../core/target.ts';
import { assertNotLive } from './not-live.ts';

/** What can hold clients for a moment. */
export const holdsOf = ({ targets }: Pick<StepContext, 'targets'>): Hold[] =>
  targets.flatMap(({ target }) => target.hold ?? []);

/** Clients that wait go on; repeatable. */
export async function releaseClients(context: Pick<StepContext, 'targets'>): Promise<boolean> {
  const held = await Promise.all(holdsOf(context).map((hold) => hold.release()));
  return held.includes(true);
}

/** Blue takes clients again, after an attempt that closed it or held them; gives a line when there was something to do. */
export async function letClientsOn(context: StepContext): Promise<string | undefined> {
  const blue = await context.database.state('blue');
  const closed = blue?.closed === true && blue.mark === undefined;
  if (closed) {
    await assertNotLive(context);
    await context.database.open('blue');
  }
  const held = await releaseClients(context);
  return closed || held ? `${context.plan.names.blue} accepts connections again` : undefined;
}
