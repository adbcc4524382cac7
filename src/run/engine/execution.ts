import { messageOf, NotPutBack, StuckError } from '../../core/errors.ts';
import type { Event, EventBody } from '../../core/event.ts';
import type { Plan, PlannedStep } from '../../core/plan.ts';
import type { Fallback } from '../../core/playbook.ts';
import type { Side } from '../../core/side.ts';
import type { GateAnswer, GateLimit, StepContext } from '../../core/step.ts';
import { recordOf } from './error-record.ts';
import type { Journal } from '../../journal/journal.ts';
import type { Drivers } from '../open.ts';
import type { Screen } from '../screen/screen.ts';

/** What a gate asks of whoever may answer. */
export interface Asked {
  readonly step: string;
  readonly question: string;
  readonly limit: GateLimit;
  /** Of the event that opened the gate. */
  readonly seq: number;
}

export type Answer = GateAnswer;

/** A run in this process: what its steps work with, and what follows from its events. */
export interface Execution {
  /** The side that the targets point at; follows the events. */
  live: Side;
  /** Whether ownership was ever moved in this run. */
  moved: boolean;
  /** Both sides as they were when ownership moved, of the latest time; follows the events. */
  closed: Readonly<Record<Side, string>> | undefined;
  /** What finished steps gave, by their id; follows the events. */
  readonly outputs: Map<string, unknown>;
  readonly plan: Plan;
  readonly drivers: Drivers;
  readonly journal: Journal;
  readonly screen: Screen;
  readonly signal: AbortSignal;
  ask(asked: Asked): Promise<Answer>;
  /** The run is only brought as far as its switch, and held. */
  readonly prepare?: boolean;
  /** What becomes of it when its time is over before the switch; it is put back unless given. */
  readonly tooShort?: Fallback | undefined;
  /** Starts somebody who lets clients go on when this process dies. */
  readonly guard?: (() => Promise<Guard>) | undefined;
}

/** Somebody outside of this process. */
export interface Guard {
  /** Nobody is held any more. */
  release(): void;
}

/** How much time passes between two lines of progress in the journal. */
const PROGRESS_MS = 5000;

/** Stores an event, shows it, and lets the execution follow it. */
export const recorder =
  (execution: Execution) =>
  async (body: EventBody): Promise<Event> => {
    const event: Event = await execution.journal.append(body);
    if (event.type === 'ownership-moved') {
      execution.live = event.to;
      execution.moved = true;
      execution.closed = event.closed;
    }
    if (event.type === 'step-succeeded') execution.outputs.set(event.step, event.output);
    execution.screen.event(event);
    return event;
  };

/** While things are put back, a journal that cannot be written must not keep blue closed. */
export function tolerantRecorder(execution: Execution): (event: EventBody) => Promise<void> {
  const record = recorder(execution);
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

export function contextOf(
  execution: Execution,
  step: PlannedStep,
  signal: AbortSignal = execution.signal,
): StepContext {
  const { plan, drivers, journal, screen } = execution;
  const record = recorder(execution);
  let stored = Date.now();
  let opened = 0;
  return {
    run: plan.run,
    plan,
    step,
    database: drivers.database,
    migrators: drivers.migrators,
    checks: drivers.checks,
    bake: drivers.bake,
    targets: drivers.targets,
    env: drivers.env,
    signal,
    ownershipMoved: () => execution.moved,
    live: () => execution.live,
    outputOf(kind) {
      const first = plan.steps.find((each) => each.kind === kind);
      return first && execution.outputs.get(first.id);
    },
    progress(done, total, unit, note) {
      const progress = { done, total, unit, ...(note === undefined ? {} : { note }) };
      screen.progress(step, progress);
      if (Date.now() - stored < PROGRESS_MS) return;
      stored = Date.now();
      // Progress is news, not a fact that anything rests on: a failed write shows at the next event.
      journal.append({ type: 'step-progressed', step: step.id, ...progress }).then(
        (event) => screen.event(event),
        () => undefined,
      );
    },
    async record(body) {
      const event = await record(body);
      if (event.type === 'gate-opened') opened = event.seq;
    },
    async guarded(work) {
      const guard = await execution.guard?.();
      try {
        const result = await work();
        guard?.release();
        return result;
      } catch (error) {
        // Clients may still be held: when this process ends, the guard does what it can.
        if (!(error instanceof StuckError || error instanceof NotPutBack)) guard?.release();
        throw error;
      }
    },
    async retrying(attempt, waitMs, error) {
      await record({ type: 'step-retried', step: step.id, attempt, waitMs, error: recordOf(error) });
    },
    closedAtMove: () => execution.closed,
    ask: (question, limit) => execution.ask({ step: step.id, question, limit, seq: opened }),
    facts: () => drivers.database.inspect({ live: plan.live !== undefined }),
  };
}
