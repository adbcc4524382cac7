import type { LivePlan } from '../../core/plan.ts';
import type { StepContext } from '../../core/step.ts';

/** How the run follows blue; only for steps that a run without it does not have. */
export function livePlan({ plan }: StepContext): LivePlan {
  if (!plan.live) throw new TypeError('this run follows nobody');
  return plan.live;
}
