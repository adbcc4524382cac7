import type { Step } from '../core/step.ts';
import { plural } from '../util/units.ts';
import { livePlan } from './live/plan.ts';

/** What the publishing leaves for later steps. */
export interface PublishOutput {
  /** Blue's schema from here on: another one at the switch means that somebody changed it meanwhile. */
  readonly fingerprint: string;
}

/** Makes blue ready to be followed. */
export const publish: Step = {
  kind: 'publish',
  async run(context) {
    const { live } = context.database;
    const { follow } = livePlan(context);
    await live.publish(follow);
    const output: PublishOutput = { fingerprint: await live.fingerprint('blue') };
    return { output, summary: `changes to ${plural(follow.tables.length, 'table')} can be followed` };
  },
  async probe(context) {
    return (await context.database.live.isPublished()) ? 'done' : 'absent';
  },
  async undo(context) {
    const any = await context.database.live.forget(livePlan(context).follow, 'blue');
    return any
      ? `${context.plan.names.blue} is followed no longer, and nothing of it is left there`
      : undefined;
  },
};
