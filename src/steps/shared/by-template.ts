import type { ClonePlan } from '../../core/database/clone.ts';
import type { StepContext } from '../../core/step.ts';
import type { WorkControl } from '../../core/work.ts';

const BEAT_MS = 250;

/** Lets the server copy. It does not tell how far it is: time against the estimate is all there is to show. */
export async function byTemplate(
  context: StepContext,
  plan: ClonePlan,
  control: WorkControl,
): Promise<{ oid: number }> {
  const estimate = context.step.estimate?.ms ?? 1000;
  const started = Date.now();
  const beat = setInterval(() => {
    const passed = Date.now() - started;
    context.progress(Math.min(passed, estimate * 0.99), estimate, 'estimate', 'the server copies');
  }, BEAT_MS);
  try {
    return await context.database.clone(plan, control);
  } finally {
    clearInterval(beat);
  }
}
