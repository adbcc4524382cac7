import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../core/errors.ts';
import type { EventBody } from '../../core/event.ts';
import type { PlannedStep } from '../../core/plan.ts';
import type { StepContext } from '../../core/step.ts';
import { isAway } from '../../core/transient.ts';
import { steps as registry } from '../../steps/registry.ts';
import { recordOf } from './error-record.ts';

/** How long everything that is put back waits for a server that is just away, all together. */
export const PATIENCE_MS = 30_000;
const AGAIN_MS = 300;

/** Tries work that may be repeated once more as long as what it fails for is known to pass. */
export async function patiently<T>(work: () => Promise<T>, deadline: number): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isAway(error) || Date.now() > deadline) throw error;
      await sleep(AGAIN_MS);
    }
  }
}

const urgency = ({ ownership, kind }: PlannedStep): number =>
  ownership === 'moves' ? 0 : kind === 'fence' ? 1 : 2;

/** Last first; but blue is opened as soon as it is known to be live, before anybody waits for a copy to be dropped. */
function inOrder(started: readonly PlannedStep[]): PlannedStep[] {
  return started.toReversed().sort((a, b) => urgency(a) - urgency(b));
}

export interface Unwound {
  /** What was taken away, a line each. */
  readonly lines: readonly string[];
  /** Steps whose undo failed, with the reason. */
  readonly failed: readonly { step: PlannedStep; message: string }[];
}

/**
 * Takes back the started steps. An undo that fails does not keep the others from being tried, for blue
 * must become writable whatever else is left; only a switch that cannot be taken back stops everything, because then
 * it is not known which side is live.
 */
export async function unwind(
  started: readonly PlannedStep[],
  contextOf: (step: PlannedStep) => StepContext,
  record: (event: EventBody) => Promise<void>,
  deadline: number,
): Promise<Unwound> {
  const lines: string[] = [];
  const failed: { step: PlannedStep; message: string }[] = [];
  for (const step of inOrder(started)) {
    await record({ type: 'undo-started', step: step.id });
    const context = contextOf(step);
    try {
      const line = await patiently(async () => {
        context.database.setPatience(Math.max(0, deadline - Date.now()));
        // Nothing is put back without the lock: when it was lost, another run may have blue by now.
        await context.database.lock();
        return registry[step.kind].undo(context);
      }, deadline);
      if (line) lines.push(line);
      await record({ type: 'undo-finished', step: step.id });
    } catch (error) {
      failed.push({ step, message: messageOf(error) });
      await record({ type: 'undo-failed', step: step.id, error: recordOf(error) });
      if (step.ownership === 'moves') break;
    }
  }
  return { lines, failed };
}
