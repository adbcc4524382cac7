import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, StepError } from '../../core/errors.ts';
import type { Passage, Way } from '../../core/live.ts';
import { other, type Side } from '../../core/side.ts';
import type { StepContext } from '../../core/step.ts';
import { formatDuration } from '../../util/units.ts';
import { catchUp } from '../sync.ts';
import { holdsOf, releaseClients } from './clients.ts';
import { controlOf } from './control.ts';
import { refuseDrift } from './drift.ts';
import { livePlan } from './live-plan.ts';
import { closedSides } from './proof.ts';
import { flipTogether, isOpen, putBackOrStuck } from './swap.ts';

const PATIENCE_MS = 30_000;

/** The pause budget ran out, or something else passed by that may be otherwise the next time; everything is put back. */
class CalledOff extends StepError {}

/**
 * Moves ownership while clients write: they are held between two of their transactions, the rest of what they wrote
 * arrives on the other side, and they go on there. Until `ownership-moved` everything is put back when the time is up,
 * and tried again as the playbook says. Gives how long clients were held, in milliseconds.
 */
export async function swapLive(context: StepContext, from: Side): Promise<{ ms: number }> {
  const way: Way = { from, to: other(from) };
  if (context.live() === way.to) {
    context.database.setPatience(PATIENCE_MS);
    return flip(context, way, performance.now());
  }
  return context.guarded(() => attempts(context, way));
}

async function attempts(context: StepContext, way: Way): Promise<{ ms: number }> {
  const { retries, wait } = livePlan(context).pause;
  for (let failed = 0; ;) {
    try {
      return await attempt(context, way);
    } catch (error) {
      if (!(error instanceof CalledOff) || failed >= retries) throw error;
      failed += 1;
      await context.retrying(failed, wait, error);
      await sleep(wait, undefined, { signal: context.signal }).catch(() => context.signal.throwIfAborted());
    }
  }
}

async function attempt(context: StepContext, way: Way): Promise<{ ms: number }> {
  const { database, targets, plan } = context;
  const { follow } = livePlan(context);
  for (const { target } of targets) await target.prepare(way.from, way.to);
  await catchUp(context, way);
  await Promise.all(holdsOf(context).map((hold) => hold.ready()));
  for (const { target } of targets) await target.stage?.(way.to);
  // Nobody else of ours is to be in the way of the fence.
  await database.releaseReaders();
  const since = await database.live.position(way.from);
  if (way.from === 'blue' && !context.ownershipMoved()) await refuseDrift(context);
  const passage = await database.live.prepare(way, follow, since, plan.longTransactions, controlOf(context));
  try {
    // Just before the pause, where it still costs nobody anything; from here on a signal waits until all is settled.
    context.signal.throwIfAborted();
    await database.assertLocked();
    return await cross(context, way, passage);
  } finally {
    await passage.end();
  }
}

/** The pause. */
async function cross(context: StepContext, way: Way, passage: Passage): Promise<{ ms: number }> {
  const { budget } = livePlan(context).pause;
  const started = performance.now();
  const deadline = started + budget;
  const inTime = (doing: string): void => {
    if (performance.now() > deadline) throw ranOut(budget, doing);
  };
  try {
    await hold(context, budget);
    inTime('clients finished their transactions');
    await passage.fence(deadline);
    inTime('the last sessions ended');
    // Nothing of this changes while the last changes arrive.
    const [, { blue, green }] = await Promise.all([
      passage.drain(deadline),
      closedSides(context),
      context.database.assertLocked(),
    ]);
    inTime('the last changes arrived');
    context.database.setPatience(PATIENCE_MS);
    await context.record({
      type: 'ownership-moved',
      from: way.from,
      to: way.to,
      closed: { blue: blue.version, green: green.version },
    });
  } catch (cause) {
    await backToBefore(context, way, cause);
    throw performance.now() > deadline && isOverdue(cause) ? ranOut(budget, cause) : cause;
  }
  if (context.plan.renames) await passage.leave();
  return flip(context, way, started);
}

/** Holds all clients: one that goes on would write where nobody follows any more. */
async function hold(context: StepContext, budget: number): Promise<void> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(ranOut(budget, 'clients finished their transactions')), budget);
  try {
    const paused = await Promise.allSettled(holdsOf(context).map((each) => each.pause(over.signal)));
    for (const each of paused) if (each.status === 'rejected') throw each.reason as Error;
  } finally {
    clearTimeout(timer);
  }
}

const ranOut = (budget: number, doing: string | StepError): CalledOff => {
  const what = typeof doing === 'string' ? ` while ${doing}` : `: ${doing.message}`;
  return new CalledOff(`the pause budget of ${formatDuration(budget)} ran out${what}`, {
    detail: typeof doing === 'string' ? undefined : doing.detail,
    hint: 'clients go on where they were; give the pause more time: switch: { pause-budget: … }',
  });
};

/** Something took too long, and nothing broke. */
const isOverdue = (error: unknown): error is StepError =>
  error instanceof StepError && !(error instanceof CalledOff) && error.cause === undefined;

/** An attempt that could not be put back: clients may still be held. */
export class NotPutBack extends StepError {}

const PUT_BACK_TRIES = 8;

/** Clients first, everything else after them. What broke the attempt may have broken our connections: they are opened anew. */
async function backToBefore(context: StepContext, way: Way, cause: unknown): Promise<void> {
  const { live } = context.database;
  for (let tries = 1; ; tries += 1) {
    try {
      await live.reopen(way);
      await releaseClients(context);
      await live.stepBack(way);
      return;
    } catch (second) {
      if (tries === PUT_BACK_TRIES)
        throw new NotPutBack(`${messageOf(cause)}; and putting it back failed: ${messageOf(second)}`, {
          cause,
        });
      await sleep(tries * 100);
    }
  }
}

/** What follows the commit point. */
async function flip(context: StepContext, way: Way, started: number): Promise<{ ms: number }> {
  const { database, plan } = context;
  const { from, to } = way;
  try {
    await flipTogether(context, from, to);
    await database.live.open(way, livePlan(context).follow, plan.blue.comment);
  } catch (cause) {
    if (!(await isOpen(context, to, cause))) {
      await putBackOrStuck(context, from, to, cause);
      await backToBefore(context, way, cause);
      throw new StepError(`the switch failed and every target was put back: ${messageOf(cause)}`, {
        cause,
        hint: cause instanceof StepError ? cause.hint : undefined,
      });
    }
  }
  await releaseClients(context);
  return { ms: performance.now() - started };
}
