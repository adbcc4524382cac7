import { StuckError } from '../core/errors.ts';
import type { Step, StepContext, StepResult } from '../core/step.ts';
import { formatDuration } from '../util/units.ts';

/** Asks the server and the targets whether everything is as the switch says, and leaves the previous copy as it is. */
export const keep: Step = {
  kind: 'keep',
  async run(context) {
    const { database, targets, plan } = context;
    if (plan.live) await database.live.settle({ from: 'blue', to: 'green' });
    const [blue, green] = [await database.state('blue'), await database.state('green')];
    const astray: string[] = [];
    for (const { name, target } of targets) {
      const side = await target.current();
      if (side !== 'green') astray.push(`${name} points at ${side ?? 'neither side'}`);
    }
    if (!green || green.closed) astray.push('green does not accept connections');
    if (!plan.live && !blue?.closed)
      astray.push(blue ? 'the previous copy accepts connections' : 'the previous copy is gone');
    if (astray.length > 0) {
      throw new StuckError(`after the switch: ${astray.join('; ')}`, {
        hint: `somebody else changed it meanwhile; look at: cutover status ${context.run}`,
      });
    }
    if (plan.live) return keepLive(context);
    return {
      output: { live: green!.name, previous: blue!.name },
      summary: `the previous copy is ${blue!.name}, closed; to go back: cutover swap-back ${plan.run}`,
    };
  },
  probe: () => Promise.resolve('absent'),
  undo: () => Promise.resolve(undefined),
};

/** How long the first change may take to come back. */
const BACK_MS = 30_000;

async function keepLive({ database, plan }: StepContext): Promise<StepResult> {
  const ms = await database.live.beat({ from: 'green', to: 'blue' }, BACK_MS);
  const [blue, green] = [await database.state('blue'), await database.state('green')];
  const output = { live: green!.name, previous: blue!.name };
  const go = `to go back: cutover swap-back ${plan.run}`;
  if (ms !== undefined)
    return {
      output,
      summary: `the previous copy is ${blue!.name}, and follows in ${formatDuration(ms)}; ${go}`,
    };
  const finding = {
    check: 'keep',
    severity: 'warning' as const,
    message: `${blue!.name} does not follow yet: nothing is lost, and the live server keeps for it what is written`,
    hint: `see why: cutover status ${plan.run}`,
  };
  return { output, findings: [finding], summary: `the previous copy is ${blue!.name}; ${go}` };
}
