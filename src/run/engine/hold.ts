import { setTimeout as sleep } from 'node:timers/promises';
import {
  AbortedError,
  DeclinedError,
  EXIT,
  InterruptedError,
  NotPutBack,
  StepError,
  StuckError,
  TimeOverError,
} from '../../core/errors.ts';
import type { HeldFor } from '../../core/event.ts';
import type { PlannedStep } from '../../core/plan.ts';
import type { Hook } from '../../core/playbook.ts';
import { steps as registry } from '../../steps/registry.ts';
import { letClientsOn } from '../../steps/shared/clients.ts';
import { recordOf } from './error-record.ts';
import { contextOf, recorder, type Execution } from './execution.ts';
import type { Result } from './result.ts';
import { PATIENCE_MS, patiently } from './unwind.ts';

/** The first step that a run does not take when it is only prepared: nothing of it touches clients. */
export function firstOfSwitch(steps: readonly PlannedStep[]): PlannedStep {
  return steps.find(
    ({ kind, ownership, input }) =>
      ownership === 'moves' ||
      kind === 'gate' ||
      (kind === 'hook' && ['gate', 'switch'].includes((input as Hook).phase)),
  )!;
}

/** Why an error holds the run rather than ending it; undefined when everything is to be put back. */
export function heldFor(
  { plan, live, moved, outputs, tooShort }: Execution,
  error: unknown,
  started: readonly PlannedStep[],
): HeldFor | undefined {
  if (!plan.live || live !== 'blue' || moved) return undefined;
  if (OF_PEOPLE.some((kind) => error instanceof kind)) return undefined;
  if (error instanceof TimeOverError) {
    const following = started.some(({ kind }) => kind === 'sync');
    return following && tooShort === 'hold' ? 'time' : undefined;
  }
  const failed = started.find(({ id }) => !outputs.has(id));
  if (!failed) return undefined;
  const policy: Readonly<Partial<Record<PlannedStep['kind'], string>>> = plan.onFailure ?? {};
  return policy[failed.kind] === 'hold' ? 'failure' : undefined;
}

/** Whoever says stop wants everything back; and what could not be put back is nothing to stand on. */
const OF_PEOPLE = [InterruptedError, AbortedError, DeclinedError, StuckError, NotPutBack] as const;

/**
 * Ends this process's part of a run before its switch: nobody is held, no statement of ours is under way, green goes on
 * following. Throws, with the run as it was, when that cannot be made sure of.
 */
export async function hold(
  execution: Execution,
  reason: HeldFor,
  started: readonly PlannedStep[],
  error?: unknown,
): Promise<Result> {
  const { database } = execution.drivers;
  const deadline = Date.now() + PATIENCE_MS;
  await patiently(async () => {
    database.setPatience(Math.max(0, deadline - Date.now()));
    await database.lock();
    await database.endAbandoned();
    const moving = started.find(({ ownership }) => ownership === 'moves');
    const context = contextOf(execution, moving ?? started.at(-1)!, new AbortController().signal);
    if (moving) {
      await registry[moving.kind].undo(context);
      // A slot that a killed attempt has made would keep what green writes for nobody.
      await database.live.stepBack({ from: 'blue', to: 'green' });
    } else await letClientsOn(context);
  }, deadline);
  // Otherwise a slot that nobody reads would keep all that is written to blue, until somebody looks.
  if (reason !== 'failure') await insistOnFollowing(execution);
  // Whoever stopped it meanwhile was told that everything is put back.
  if (reason !== 'time') execution.signal.throwIfAborted();
  const exit = reason === 'prepared' ? EXIT.done : EXIT.held;
  await recorder(execution)({
    type: 'run-held',
    reason,
    exit,
    ...(error === undefined ? {} : { error: recordOf(error) }),
  });
  return { outcome: 'held', exit, undone: [], ...(error === undefined ? {} : { error }) };
}

/** A worker that is started anew is away for a moment. */
const AWAY_MS = 10_000;

async function insistOnFollowing({ drivers }: Execution): Promise<void> {
  for (const deadline = Date.now() + AWAY_MS; ; await sleep(250)) {
    const { running, error } = await drivers.database.live.lag({ from: 'blue', to: 'green' });
    if (running) return;
    if (Date.now() > deadline)
      throw new StepError('green does not apply the changes of blue', { detail: error });
  }
}
