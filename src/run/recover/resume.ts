import { BakeError, EXIT, StuckError } from '../../core/errors.ts';
import type { PlannedStep } from '../../core/plan.ts';
import type { BakeInput } from '../../core/step.ts';
import type { RunState } from '../../journal/fold.ts';
import { putBack } from '../../steps/shared/swap.ts';
import { contextOf, recorder, type Execution } from '../engine/execution.ts';
import { execute } from '../engine/execute.ts';
import { finish } from '../engine/settle.ts';
import type { Result } from '../engine/result.ts';
import { refusing } from '../refusing.ts';
import { begunSteps, type Reopened } from '../reopen.ts';
import { abort } from './abort.ts';
import { lookAtSwitch } from './half-switch.ts';
import { whereToGoOn } from './where.ts';

/** The bake had failed, and what was to follow did not. */
function bakeAgain(execution: Execution, state: RunState, step: PlannedStep): Promise<Result> {
  const { error: failed, findings } = state.steps[step.id]!;
  const { message, hint } = failed!;
  // One that was only cut short has found nothing, and nobody is led back from a green that is well.
  const then = findings.length > 0 ? (step.input as BakeInput).onFailure : 'hold';
  const error = new BakeError(message, then, { hint });
  return finish(execution, { outcome: 'completed', exit: error.exit, error, undone: [] });
}

interface Start {
  /** Undefined when nothing is left to execute. */
  readonly from: PlannedStep | undefined;
  readonly found: readonly string[];
}

/**
 * Goes on with a run whose process is gone or has held it, from the first step whose effect is not certainly there. A run that was
 * on its way back already goes on unwinding. Throws RefusedError, and leaves all as it is, when the servers cannot be
 * asked; what contradicts itself ends as stuck.
 */
export async function resume(
  reopened: Reopened,
  execution: Execution,
  operator: string,
  window?: string,
): Promise<Result> {
  const { state } = reopened;
  const begun = begunSteps(state);
  const failed = state.plan.steps.find(({ id }) => state.steps[id]!.phase === 'failed');
  if (failed?.kind === 'bake') return bakeAgain(execution, state, failed);
  if (state.phase !== 'held' && (state.phase !== 'running' || failed)) {
    return abort(reopened, execution);
  }
  let start: Start;
  try {
    start = await refusing(() => findStart(execution, state));
  } catch (error) {
    if (!(error instanceof StuckError)) throw error;
    return finish(execution, { outcome: 'stuck', exit: EXIT.stuck, error, undone: [] });
  }
  if (!start.from) return finish(execution, { outcome: 'completed', exit: EXIT.done, undone: [] });
  await recorder(execution)({
    type: 'run-resumed',
    operator,
    from: start.from.id,
    found: start.found,
    ...(window !== undefined && { window }),
  });
  execution.screen.start(state.plan, start.from.id);
  for (const { id } of state.plan.steps.slice(state.plan.steps.indexOf(start.from)))
    execution.outputs.delete(id);
  return execute(execution, { from: start.from, begun });
}

async function findStart(execution: Execution, state: RunState): Promise<Start> {
  const { steps } = state.plan;
  const found: string[] = [];
  const moving = steps.find(({ ownership }) => ownership === 'moves')!;
  const { phase } = state.steps[moving.id]!;
  if (phase === 'waiting') return { from: await whereToGoOn(execution, state, found), found };
  const how = await lookAtSwitch(execution, moving);
  if (phase === 'done') {
    if (how !== 'through')
      throw new StuckError('the switch had come through, and green is not live any more', {
        hint: `somebody changed it since; look at: cutover status ${state.run}`,
      });
    return { from: steps.find(({ id }) => state.steps[id]!.phase !== 'done'), found: ['green is live'] };
  }
  if (how !== 'unmoved') {
    found.push(how === 'through' ? 'green is live' : 'ownership was moved, and both sides are closed');
    return { from: moving, found };
  }
  found.push('every target points at blue');
  if (execution.live === 'green') {
    await putBack(contextOf(execution, moving), 'blue', 'green');
    await recorder(execution)({ type: 'ownership-moved', from: 'green', to: 'blue' });
  }
  return { from: await whereToGoOn(execution, state, found), found };
}
