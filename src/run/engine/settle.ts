import {
  BakeError,
  CutoverError,
  DifferencesError,
  EXIT,
  InterruptedError,
  isServerError,
  messageOf,
  StuckError,
  type ExitCode,
} from '../../core/errors.ts';
import type { RunOutcome } from '../../core/event.ts';
import type { PlannedStep } from '../../core/plan.ts';
import { recordOf } from './error-record.ts';
import { contextOf, tolerantRecorder, type Execution } from './execution.ts';
import { heldFor, hold } from './hold.ts';
import { liveSide } from './live.ts';
import type { Result } from './result.ts';
import { PATIENCE_MS, patiently, unwind } from './unwind.ts';

/** Decides what an error means for the run, and leaves everything in a state that has a name. */
export async function settle(
  execution: Execution,
  error: unknown,
  started: readonly PlannedStep[],
): Promise<Result> {
  // Green is live, and stays so for now: nothing is half-way.
  if (error instanceof BakeError)
    return finish(execution, { outcome: 'completed', exit: error.exit, error, undone: [] });
  if (error instanceof StuckError || (execution.live === 'green' && !(await isBack(execution)))) {
    return finish(execution, { outcome: 'stuck', exit: EXIT.stuck, error, undone: [] });
  }
  // What a step says when it is stopped is not why it was.
  if (execution.signal.aborted) error = execution.signal.reason;
  const reason = heldFor(execution, error, started);
  if (reason === undefined) return takeBack(execution, error, started);
  try {
    return await hold(execution, reason, started, error);
  } catch (cause) {
    process.emitWarning(`the run cannot be held, and is put back: ${messageOf(cause)}`);
    return takeBack(execution, execution.signal.aborted ? execution.signal.reason : error, started);
  }
}

/** Whether everything points at blue again although the journal could not say so. */
async function isBack(execution: Execution): Promise<boolean> {
  try {
    const green = await execution.drivers.database.state('green');
    return (await liveSide(execution.drivers)) === 'blue' && green?.closed !== false;
  } catch {
    return false;
  }
}

/** Unwinds started steps and ends the run; also what `abort` does, after others that were `undone` before. */
export async function takeBack(
  execution: Execution,
  error: unknown,
  started: readonly PlannedStep[],
  undone: readonly PlannedStep[] = [],
): Promise<Result> {
  const record = tolerantRecorder(execution);
  const touched = started.filter(({ kind }) => kind !== 'preflight');
  // Hooks are the team's own: as long as nothing but them was begun, neither blue nor a target was touched.
  const untouched = [...touched, ...undone].every(({ kind }) => kind === 'hook');
  const { database } = execution.drivers;
  const deadline = Date.now() + PATIENCE_MS;
  // A statement whose answer was lost may still be under way, and would come through after everything was put back.
  const early = await failureOf(() => database.endAbandoned());
  const { lines, failed } = await unwind(touched, (step) => contextOf(execution, step), record, deadline);
  // A server that was only away is asked once more; as long as it does not say that they are gone, it is not settled.
  const late =
    early && touched.length > 0 && !untouched
      ? await failureOf(() => patiently(() => database.endAbandoned(), deadline))
      : undefined;
  if (execution.live === 'green' && failed.length === 0) {
    await record({ type: 'ownership-moved', from: 'green', to: 'blue' });
  }
  if (failed.length === 0 && late === undefined) {
    const [outcome, exit] = untouched
      ? (['refused', refusalOf(error)] as const)
      : (['unwound', exitOf(error)] as const);
    return finish(execution, { outcome, exit, error, undone: lines });
  }
  const left = [
    ...failed.map(({ step, message }) => `${step.id}: ${message}`),
    ...(late === undefined ? [] : [`sessions of this run: ${late}`]),
  ];
  const stuck = new StuckError('not everything could be put back', {
    detail: [`first: ${recordOf(error).message}`, ...left].join('\n'),
    cause: error,
    hint: `mend the cause, then: cutover abort ${execution.plan.run}`,
  });
  return finish(execution, { outcome: 'stuck', exit: EXIT.stuck, error: stuck, undone: lines });
}

async function failureOf(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function refusalOf(error: unknown): ExitCode {
  if (error instanceof InterruptedError) return error.exit;
  return error instanceof CutoverError || isServerError(error) ? EXIT.refused : EXIT.internal;
}

function exitOf(error: unknown): ExitCode {
  // Everything else has a code of its own only before anything was touched.
  return error instanceof DifferencesError || error instanceof InterruptedError ? error.exit : EXIT.unwound;
}

export async function finish(
  execution: Execution,
  result: Result & { readonly outcome: RunOutcome },
): Promise<Result> {
  await tolerantRecorder(execution)({
    type: 'run-finished',
    outcome: result.outcome,
    exit: result.exit,
    ...(result.error === undefined ? {} : { error: recordOf(result.error) }),
  });
  return result;
}
