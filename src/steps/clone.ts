import type { ClonePlan } from '../core/database/clone.ts';
import type { Step } from '../core/step.ts';
import { formatBytes, formatDuration } from '../util/units.ts';
import { byTemplate } from './shared/by-template.ts';
import { letClientsOn, tidyTargets } from './shared/clients.ts';
import { controlOf } from './shared/control.ts';
import { liveCopy } from './live/copy.ts';
import { assertNotLive } from './shared/not-live.ts';

/** Makes the copy by the statements of the plan. */
export const clone: Step = {
  kind: 'clone',
  async run(context) {
    const plan = context.step.input as ClonePlan;
    // A copy that an attempt before this one left, whole or not, is not what blue is now.
    await assertNotLive(context);
    await context.database.drop('green', 'copy');
    const output = context.plan.live
      ? await liveCopy(context)
      : await byTemplate(context, plan, controlOf(context));
    const { heldMs } = output as { heldMs?: number };
    const held = heldMs === undefined ? '' : `; clients were held for ${formatDuration(heldMs)}`;
    return {
      output,
      summary: `${plan.name} is a copy of ${plan.from}, ${formatBytes(context.plan.blue.bytes)}${held}`,
    };
  },
  async probe(context) {
    const green = await context.database.state('green');
    if (!green) return 'absent';
    if (context.plan.live && !(await context.database.live.isCaptured())) return 'unknown';
    return green.mark?.run === context.run && green.mark.as === 'copy' ? 'done' : 'unknown';
  },
  async undo(context) {
    await assertNotLive(context);
    const on = context.plan.live ? await letClientsOn(context) : undefined;
    if (context.plan.live) await tidyTargets(context);
    const dropped = await context.database.drop('green', 'copy');
    if (context.plan.live) await context.database.live.release();
    const gone = dropped ? `the copy ${context.plan.names.green} is dropped` : undefined;
    return [on, gone].filter((line) => line !== undefined).join('; ') || undefined;
  },
};
