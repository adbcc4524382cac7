import type { Step } from '../core/step.ts';
import { controlOf } from './shared/control.ts';

/** Closes blue to everybody until the switch, so that the copy stays complete without following blue. */
export const fence: Step = {
  kind: 'fence',
  async run(context) {
    await context.database.close('blue', context.plan.longTransactions, controlOf(context));
    return { summary: `${context.plan.names.blue} accepts no connections; nobody is connected` };
  },
  async probe(context) {
    const blue = await context.database.state('blue');
    if (!blue) return 'unknown';
    return blue.closed ? 'done' : 'absent';
  },
  async undo(context) {
    if ((await this.probe(context)) === 'absent') return undefined;
    await context.database.open('blue');
    return `${context.plan.names.blue} accepts connections again`;
  },
};
