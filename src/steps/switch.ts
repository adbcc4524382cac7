import type { Step, StepContext } from '../core/step.ts';
import { formatDuration } from '../util/units.ts';
import type { VerifyOutput } from './verify.ts';
import { putBack, swap } from './shared/swap.ts';

/** The one step at which ownership moves. */
export const switchStep: Step = {
  kind: 'switch',
  async run(context) {
    const { ms } = await swap(context, 'blue', 'green', proofOf(context));
    return { output: { ms }, summary: `green is live; the switch took ${formatDuration(ms)}` };
  },
  async probe(context) {
    const green = await context.database.state('green');
    const sides = await Promise.all(context.targets.map(({ target }) => target.current()));
    if (sides.every((side) => side === 'green') && green && !green.closed) return 'done';
    return sides.every((side) => side === 'blue') ? 'absent' : 'unknown';
  },
  async undo(context) {
    if (!context.ownershipMoved()) return undefined;
    const moved = await putBack(context, 'blue', 'green', proofOf(context));
    return moved ? 'every target points at blue again' : undefined;
  },
};

/** Where the sides stood when they were verified, as long as there is something to hold against. */
export const proofOf = (context: StepContext): VerifyOutput['closed'] | undefined =>
  (context.outputOf('verify') as VerifyOutput | undefined)?.closed;
