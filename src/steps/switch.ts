import type { Step, StepContext } from '../core/step.ts';
import { formatDuration } from '../util/units.ts';
import { letClientsOn, tidyTargets } from './shared/clients.ts';
import type { Closed } from './shared/proof.ts';
import { swapLive } from './live/swap.ts';
import type { VerifyOutput } from './verify.ts';
import { putBack, swap, takesClients } from './shared/swap.ts';

/** The one step at which ownership moves. */
export const switchStep: Step = {
  kind: 'switch',
  async run(context) {
    if (context.plan.live) {
      const { ms } = await swapLive(context, 'blue');
      return { output: { ms }, summary: `green is live; clients were held for ${formatDuration(ms)}` };
    }
    const { ms } = await swap(context, 'blue', 'green', proofOf(context));
    return { output: { ms }, summary: `green is live; the switch took ${formatDuration(ms)}` };
  },
  async probe(context) {
    const green = await context.database.state('green');
    const sides = await Promise.all(context.targets.map(({ target }) => target.current()));
    if (sides.every((side) => side === 'green') && takesClients(green)) return 'done';
    return sides.every((side) => side === 'blue') ? 'absent' : 'unknown';
  },
  async undo(context) {
    const moved = context.ownershipMoved() && (await putBack(context, 'blue', 'green', proofOf(context)));
    const on = context.plan.live ? await letClientsOn(context) : undefined;
    if (context.plan.live) await tidyTargets(context);
    if (!context.ownershipMoved()) return on;
    return moved ? 'every target points at blue again' : undefined;
  },
};

/** Where the sides stood when they were verified, as long as there is something to hold against. */
export const proofOf = (context: StepContext): Closed | undefined =>
  context.closedAtMove() ?? (context.outputOf('verify') as VerifyOutput | undefined)?.closed;
