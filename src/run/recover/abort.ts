import { EXIT, StepError, StuckError } from '../../core/errors.ts';
import type { PlannedStep } from '../../core/plan.ts';
import { releaseClients, tidyTargets } from '../../steps/shared/clients.ts';
import { contextOf, recorder, type Execution } from '../engine/execution.ts';
import { finish, takeBack } from '../engine/settle.ts';
import type { Result } from '../engine/result.ts';
import { refusing } from '../refusing.ts';
import { begunSteps, type Reopened } from '../reopen.ts';
import { lookAtSwitch } from './half-switch.ts';

/** A switch that came through: clients go on, and the previous copy follows. */
async function settleThrough(execution: Execution, moving: PlannedStep): Promise<void> {
  const context = contextOf(execution, moving);
  if (!context.plan.live) return;
  await releaseClients(context);
  await context.database.live.settle({ from: 'blue', to: 'green' });
  await tidyTargets(context);
}

/** Unwinds a run whose process is gone. Asks the servers first: a switch that came through is not undone here. */
export async function abort(reopened: Reopened, execution: Execution): Promise<Result> {
  const begun = begunSteps(reopened.state);
  const error = new StepError(reopened.state.error?.message ?? 'the run was aborted');
  const undone = reopened.state.plan.steps.filter(({ id }) => reopened.state.steps[id]!.phase === 'undone');
  const moving = begun.find(({ ownership }) => ownership === 'moves');
  if (!moving) return takeBack(execution, error, begun, undone);
  try {
    if ((await refusing(() => lookAtSwitch(execution, moving))) === 'through') {
      await refusing(() => settleThrough(execution, moving));
      if (reopened.state.steps[moving.id]!.phase === 'running')
        await recorder(execution)({ type: 'step-succeeded', step: moving.id, ms: 0, output: {} });
      return await finish(execution, { outcome: 'completed', exit: EXIT.done, undone: [] });
    }
  } catch (stuck) {
    if (!(stuck instanceof StuckError)) throw stuck;
    return finish(execution, { outcome: 'stuck', exit: EXIT.stuck, error: stuck, undone: [] });
  }
  return takeBack(execution, error, begun, undone);
}
