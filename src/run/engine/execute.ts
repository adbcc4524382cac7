import { BakeError, DifferencesError, EXIT, RefusedError } from '../../core/errors.ts';
import type { PlannedStep } from '../../core/plan.ts';
import { attempt } from './attempt.ts';
import { recordOf } from './error-record.ts';
import { recorder, type Execution } from './execution.ts';
import { firstOfSwitch, hold } from './hold.ts';
import { finish, settle } from './settle.ts';
import type { Result } from './result.ts';

/** Where an execution begins when another process had begun it. */
export interface Start {
  readonly from: PlannedStep;
  /** Steps that were begun before, and are taken back if the run unwinds. */
  readonly begun: readonly PlannedStep[];
}

/** Executes a plan whose journal has been begun. Never throws: every end is an outcome. */
export async function execute(execution: Execution, start?: Start): Promise<Result> {
  const { plan, drivers } = execution;
  const started = new Set(start?.begun);
  const first = start ? plan.steps.indexOf(start.from) : 0;
  const last = execution.prepare ? firstOfSwitch(plan.steps) : undefined;
  try {
    for (const step of plan.steps.slice(first)) {
      if (step === last) {
        execution.signal.throwIfAborted();
        return await hold(execution, 'prepared', [...started]);
      }
      // Once ownership has moved the run goes forward: a signal that came meanwhile has nothing left to stop.
      if (execution.live === 'blue') {
        execution.signal.throwIfAborted();
        await drivers.database.assertLocked();
      }
      started.add(step);
      await runStep(execution, step);
    }
    return await finish(execution, { outcome: 'completed', exit: EXIT.done, undone: [] });
  } catch (error) {
    return settle(
      execution,
      error,
      plan.steps.filter((step) => started.has(step)),
    );
  }
}

async function runStep(execution: Execution, step: PlannedStep): Promise<void> {
  const record = recorder(execution);
  await record({ type: 'step-started', step: step.id });
  const started = performance.now();
  try {
    const result = await attempt(execution, step);
    execution.screen.summary(step, result.summary);
    await record({
      type: 'step-succeeded',
      step: step.id,
      ms: Math.round(performance.now() - started),
      output: result.output ?? {},
      ...(result.findings ? { findings: result.findings } : {}),
    });
  } catch (error) {
    const findings =
      error instanceof DifferencesError || error instanceof RefusedError || error instanceof BakeError
        ? error.findings
        : undefined;
    await record({
      type: 'step-failed',
      step: step.id,
      ms: Math.round(performance.now() - started),
      error: recordOf(error),
      ...(findings ? { findings } : {}),
    });
    throw error;
  }
}
