import { setTimeout as sleep } from 'node:timers/promises';
import { StepError } from '../../core/errors.ts';
import type { PlannedStep } from '../../core/plan.ts';
import type { StepContext, StepResult } from '../../core/step.ts';
import { transientReason } from '../../core/transient.ts';
import { steps as registry } from '../../steps/registry.ts';
import { formatDuration } from '../../util/units.ts';
import { recordOf } from './error-record.ts';
import { contextOf, type Execution } from './execution.ts';

/** Runs a step within its time limit, and once more when it failed for a reason that is known to pass. */
export async function attempt(execution: Execution, step: PlannedStep): Promise<StepResult> {
  const { retries } = execution.plan;
  return withinLimit(execution, step, async (context) => {
    for (let failed = 0; ;) {
      try {
        return await registry[step.kind].run(context);
      } catch (error) {
        const reason = context.signal.aborted
          ? undefined
          : transientReason(step.kind, error, factsOf(context));
        if (reason === undefined || failed >= retries.limit) throw error;
        const waitMs = retries.wait * 2 ** failed;
        failed += 1;
        await context.record({
          type: 'step-retried',
          step: step.id,
          attempt: failed,
          waitMs,
          error: recordOf(error),
        });
        await sleep(waitMs, undefined, { signal: context.signal }).catch(() =>
          context.signal.throwIfAborted(),
        );
      }
    }
  });
}

/** Whether a step that failed may simply be run again, as far as the step's kind does not tell. */
function factsOf({ step, migrators }: StepContext): { repeatable: boolean } {
  const index = (step.input as { index?: number }).index;
  return { repeatable: step.kind === 'migrate' && migrators[index ?? 0]?.repeatable === true };
}

async function withinLimit<T>(
  execution: Execution,
  step: PlannedStep,
  work: (context: StepContext) => Promise<T>,
): Promise<T> {
  const limits: Readonly<Partial<Record<PlannedStep['kind'], number>>> = execution.plan.limits.steps;
  const limit = limits[step.kind];
  if (limit === undefined) return work(contextOf(execution, step));
  const over = new AbortController();
  const timer = setTimeout(() => {
    over.abort(
      new StepError(`step ${step.id} took longer than ${formatDuration(limit)}`, {
        hint: `give it more time in the playbook: limits: { ${step.kind}: … }`,
      }),
    );
  }, limit);
  try {
    return await work(contextOf(execution, step, AbortSignal.any([execution.signal, over.signal])));
  } finally {
    clearTimeout(timer);
  }
}
