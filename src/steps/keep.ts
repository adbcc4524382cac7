import { StuckError } from '../core/errors.ts';
import type { Step } from '../core/step.ts';

/** Asks the server and the targets whether everything is as the switch says, and leaves the previous copy as it is. */
export const keep: Step = {
  kind: 'keep',
  async run(context) {
    const { database, targets, plan } = context;
    const [blue, green] = [await database.state('blue'), await database.state('green')];
    const astray: string[] = [];
    for (const { name, target } of targets) {
      const side = await target.current();
      if (side !== 'green') astray.push(`${name} points at ${side ?? 'neither side'}`);
    }
    if (!green || green.closed) astray.push('green does not accept connections');
    if (!blue?.closed)
      astray.push(blue ? 'the previous copy accepts connections' : 'the previous copy is gone');
    if (astray.length > 0) {
      throw new StuckError(`after the switch: ${astray.join('; ')}`, {
        hint: `somebody else changed it meanwhile; look at: cutover status ${context.run}`,
      });
    }
    return {
      output: { live: green!.name, previous: blue!.name },
      summary: `the previous copy is ${blue!.name}, closed; to go back: cutover swap-back ${plan.run}`,
    };
  },
  probe: () => Promise.resolve('absent'),
  undo: () => Promise.resolve(undefined),
};
