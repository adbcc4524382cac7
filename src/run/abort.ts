import { EXIT, StepError, type ExitCode } from '../core/errors.ts';
import { steps as registry } from '../steps/registry.ts';
import { contextOf, takeBack } from './execute.ts';
import { executionOf, type Reopened } from './reopen.ts';
import type { Screen } from './screen/screen.ts';

export interface Aborted {
  readonly exit: ExitCode;
  /** `completed` when the switch had come through before the run's process died. */
  readonly outcome: 'unwound' | 'completed' | 'stuck';
  readonly undone: readonly string[];
  readonly error?: unknown;
}

/** Unwinds a run whose process is gone. Asks the servers first: a switch that came through is not undone here. */
export async function abort(reopened: Reopened, screen: Screen): Promise<Aborted> {
  const execution = executionOf(reopened, screen, new AbortController().signal);
  const { plan, steps } = reopened.state;
  const begun = plan.steps.filter(({ id }) => !['waiting', 'undone'].includes(steps[id]!.phase));
  const moving = begun.find(({ ownership }) => ownership === 'moves');
  if (moving && (await registry.switch.probe(contextOf(execution, moving))) === 'done') {
    if (steps[moving.id]!.phase === 'running') {
      await reopened.journal.append({ type: 'step-succeeded', step: moving.id, ms: 0, output: {} });
    }
    await reopened.journal.append({ type: 'run-finished', outcome: 'completed', exit: EXIT.done });
    return { exit: EXIT.done, outcome: 'completed', undone: [] };
  }
  const result = await takeBack(execution, new StepError('the run was aborted'), begun);
  return result.outcome === 'unwound'
    ? { exit: EXIT.done, outcome: 'unwound', undone: result.undone }
    : { exit: EXIT.stuck, outcome: 'stuck', undone: result.undone, error: result.error };
}
