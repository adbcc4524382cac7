import {
  CutoverError,
  DifferencesError,
  EXIT,
  InterruptedError,
  isServerError,
  messageOf,
  RefusedError,
  StuckError,
  type ExitCode,
} from '../core/errors.ts';
import type { Event, EventBody, RunOutcome } from '../core/event.ts';
import type { Plan, PlannedStep } from '../core/plan.ts';
import type { Side } from '../core/side.ts';
import type { StepContext } from '../core/step.ts';
import type { Journal } from '../journal/journal.ts';
import { steps as registry } from '../steps/registry.ts';
import { recordOf } from './error-record.ts';
import { liveSide } from './live.ts';
import type { Drivers } from './open.ts';
import type { Screen } from './screen/screen.ts';
import { unwind } from './unwind.ts';

export interface Execution {
  /** The side that the targets point at; follows the events. */
  live: Side;
  /** Whether ownership was ever moved in this run. */
  moved: boolean;
  readonly plan: Plan;
  readonly drivers: Drivers;
  readonly journal: Journal;
  readonly screen: Screen;
  readonly signal: AbortSignal;
  ask(question: string): Promise<{ answer: 'go' | 'stop'; by: string }>;
}

export interface Result {
  readonly outcome: RunOutcome;
  readonly exit: ExitCode;
  readonly error?: unknown;
  readonly undone: readonly string[];
}

/** How much time passes between two lines of progress in the journal. */
const PROGRESS_MS = 5000;

/** Executes a plan whose journal has been begun. Never throws: every end is an outcome. */
export async function execute(execution: Execution): Promise<Result> {
  const { plan } = execution;
  const started: PlannedStep[] = [];
  try {
    for (const step of plan.steps) {
      // Once ownership has moved the run goes forward: a signal that came meanwhile has nothing left to stop.
      if (execution.live === 'blue') execution.signal.throwIfAborted();
      started.push(step);
      await runStep(execution, step);
    }
    return await finish(execution, { outcome: 'completed', exit: EXIT.done, undone: [] });
  } catch (error) {
    return settle(execution, error, started);
  }
}

async function runStep(execution: Execution, step: PlannedStep): Promise<void> {
  const record = recorder(execution);
  await record({ type: 'step-started', step: step.id });
  const started = performance.now();
  try {
    const result = await registry[step.kind].run(contextOf(execution, step));
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
      error instanceof DifferencesError || error instanceof RefusedError ? error.findings : undefined;
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

/** Decides what an error means for the run, and leaves everything in a state that has a name. */
async function settle(
  execution: Execution,
  error: unknown,
  started: readonly PlannedStep[],
): Promise<Result> {
  if (error instanceof StuckError || (execution.live === 'green' && !(await isBack(execution)))) {
    return finish(execution, { outcome: 'stuck', exit: EXIT.stuck, error, undone: [] });
  }
  const touched = started.filter(({ kind }) => kind !== 'preflight');
  if (touched.length === 0) {
    const foreseen = error instanceof CutoverError || isServerError(error);
    const exit = error instanceof InterruptedError ? error.exit : foreseen ? EXIT.refused : EXIT.internal;
    return finish(execution, { outcome: 'refused', exit, error, undone: [] });
  }
  return takeBack(execution, error, started);
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

/** Unwinds started steps and ends the run; also what `abort` does. */
export async function takeBack(
  execution: Execution,
  error: unknown,
  started: readonly PlannedStep[],
): Promise<Result> {
  // A statement whose answer was lost may still be under way, and would come through after everything was put back.
  await execution.drivers.database.endAbandoned().catch(() => undefined);
  const { lines, failed } = await unwind(
    started,
    (step) => contextOf(execution, step),
    tolerant(recorder(execution)),
  );
  if (execution.live === 'green' && failed.length === 0) {
    await tolerant(recorder(execution))({ type: 'ownership-moved', from: 'green', to: 'blue' });
  }
  if (failed.length === 0)
    return finish(execution, { outcome: 'unwound', exit: exitOf(error), error, undone: lines });
  const left = failed.map(({ step, message }) => `${step.id}: ${message}`);
  const stuck = new StuckError('not everything could be put back', {
    detail: [`first: ${recordOf(error).message}`, ...left].join('\n'),
    cause: error,
    hint: `mend the cause, then: cutover abort ${execution.plan.run}`,
  });
  return finish(execution, { outcome: 'stuck', exit: EXIT.stuck, error: stuck, undone: lines });
}

function exitOf(error: unknown): ExitCode {
  // Everything else has a code of its own only before anything was touched.
  return error instanceof DifferencesError || error instanceof InterruptedError ? error.exit : EXIT.unwound;
}

async function finish(execution: Execution, result: Result): Promise<Result> {
  const record = tolerant(recorder(execution));
  await record({
    type: 'run-finished',
    outcome: result.outcome,
    exit: result.exit,
    ...(result.error === undefined ? {} : { error: recordOf(result.error) }),
  });
  return result;
}

const recorder =
  (execution: Execution) =>
  async (body: EventBody): Promise<void> => {
    const event: Event = await execution.journal.append(body);
    if (event.type === 'ownership-moved') {
      execution.live = event.to;
      execution.moved = true;
    }
    execution.screen.event(event);
  };

/** While things are put back, a journal that cannot be written must not keep blue closed. */
function tolerant(record: (event: EventBody) => Promise<void>): (event: EventBody) => Promise<void> {
  let broken = false;
  return async (event) => {
    // After a gap only the end makes sense: an undo that finished without having started would not.
    if (broken && event.type !== 'run-finished') return;
    try {
      await record(event);
    } catch (error) {
      if (!broken) process.emitWarning(`the journal cannot be written: ${messageOf(error)}`);
      broken = true;
    }
  };
}

export function contextOf(execution: Execution, step: PlannedStep): StepContext {
  const { plan, drivers, journal, screen, signal } = execution;
  const record = recorder(execution);
  let stored = Date.now();
  return {
    run: plan.run,
    plan,
    step,
    database: drivers.database,
    migrators: drivers.migrators,
    checks: drivers.checks,
    targets: drivers.targets,
    env: drivers.env,
    signal,
    ownershipMoved: () => execution.moved,
    progress(done, total, unit, note) {
      screen.progress(step, { done, total, unit, ...(note === undefined ? {} : { note }) });
      if (Date.now() - stored < PROGRESS_MS) return;
      stored = Date.now();
      // Progress is news, not a fact that anything rests on: a failed write shows at the next event.
      journal
        .append({
          type: 'step-progressed',
          step: step.id,
          done,
          total,
          unit,
          ...(note === undefined ? {} : { note }),
        })
        .then(
          (event) => screen.event(event),
          () => undefined,
        );
    },
    record,
    ask: (question) => execution.ask(question),
    facts: () => drivers.database.inspect(),
  };
}
