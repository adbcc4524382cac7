import { StuckError } from '../../core/errors.ts';
import type { StepContext } from '../../core/step.ts';

/**
 * Throws when somebody made the copy live by hand: then neither may it be dropped nor blue be opened beside it. The
 * mark says who made a copy; that nobody lives in it by now is another question.
 */
export async function assertNotLive({ database, targets, plan, run }: StepContext): Promise<void> {
  const green = await database.state('green');
  if (!green) return;
  const pointing: string[] = green.name === plan.names.blue ? [`it is called ${green.name}`] : [];
  for (const { name, target } of targets) {
    // A target that cannot be asked has not been moved: that would have been the switch, which is undone by now.
    const side = await target.current().catch(() => undefined);
    if (side === 'green') pointing.push(`${name} points at it`);
  }
  if (pointing.length === 0) return;
  throw new StuckError(
    `the copy ${green.name} of run ${run} seems to be live: ${pointing.join(', ')}; nothing is opened or dropped`,
    {
      hint: 'somebody switched by hand: find out which database is live, and put names and targets where they belong',
    },
  );
}
