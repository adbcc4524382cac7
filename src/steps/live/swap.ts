import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, StepError, StuckError } from '../../core/errors.ts';
import type { Passage, Way } from '../../core/database/live.ts';
import { other, type Side } from '../../core/side.ts';
import type { StepContext } from '../../core/step.ts';
import { catchUp } from '../sync.ts';
import { holdClients, readyToHold, releaseClients, tidyTargets } from '../shared/clients.ts';
import { controlOf } from '../shared/control.ts';
import { refuseDrift } from '../shared/drift.ts';
import { insist } from '../shared/insist.ts';
import { Lead } from './lead.ts';
import { livePlan } from './plan.ts';
import { CalledOff, Pause } from '../shared/pause.ts';
import { closedSides } from '../shared/proof.ts';
import { flipTogether, isOpen, putBackOrStuck, settling } from '../shared/swap.ts';

const PATIENCE_MS = 30_000;
/** Everybody logs in at once when clients go on, and has the machine without us meanwhile. */
const LOGINS_MS = 100;

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
  return context.guarded(async () => {
    try {
      return await attempts(context, way);
    } finally {
      await tidyTargets(context);
    }
  });
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
  await readyToHold(context);
  for (const { target } of targets) await target.stage?.(way.to);
  // Nobody else of ours is to be in the way of the fence.
  await database.releaseReaders();
  const since = await database.live.position(way.from);
  if (way.from === 'blue' && !context.ownershipMoved()) await refuseDrift(context);
  const lead = new Lead(context, way);
  const passage = await beginning(context, way, lead, () =>
    database.live.prepare(way, follow, since, plan.longTransactions, controlOf(context)),
  );
  try {
    const pause = await beginning(context, way, lead, () => cross(context, way, passage, lead));
    return await flip(context, way, pause.started, { passage, lead });
  } finally {
    await passage.end();
  }
}

/** What fails before the commit point is put back whole. */
async function beginning<T>(context: StepContext, way: Way, lead: Lead, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    await backToBefore(context, way, cause, lead);
    throw cause;
  }
}

/** The pause, up to the commit point. */
async function cross(context: StepContext, way: Way, passage: Passage, lead: Lead): Promise<Pause> {
  // Where it still costs nobody anything; from here on a signal waits until all is settled.
  context.signal.throwIfAborted();
  await context.database.assertLocked();
  const pause = new Pause(livePlan(context).pause.budget);
  const { deadline } = pause;
  try {
    await pause.within((signal) => holdClients(context, signal));
    pause.inTime('clients finished their transactions');
    const fencing = passage.fence(deadline);
    const leading = lead.begin();
    // What comes of it is waited for below, and before it is led back.
    leading.catch(() => undefined);
    await fencing;
    pause.inTime('the last sessions ended');
    // By itself, for everything else would compete with it; then it is on its way over.
    const position = await passage.mark(deadline);
    // Nothing of this changes while the last changes arrive.
    const [, { blue, green }] = await Promise.all([
      passage.drain(position, deadline),
      pause.orOver(closedSides(context)),
      pause.orOver(context.database.assertLocked()),
      pause.orOver(leading),
    ]);
    pause.inTime('the last changes arrived');
    context.database.setPatience(PATIENCE_MS);
    await context.record({
      type: 'ownership-moved',
      from: way.from,
      to: way.to,
      closed: { blue: blue.version, green: green.version },
    });
    return pause;
  } catch (cause) {
    throw pause.calledOff(cause) ?? cause;
  }
}

/** Clients first, everything else after them. */
async function backToBefore(context: StepContext, way: Way, cause: unknown, lead?: Lead): Promise<void> {
  const { live } = context.database;
  const failed = `${messageOf(cause)}; and putting it back failed`;
  // As long as this does not come through clients are held: nobody would take them.
  await insist(() => live.reopen(way), failed, cause);
  await insist(async () => lead?.back(), failed, cause).catch((error: unknown) =>
    letOff(context, way, error),
  );
  const goOn = async (): Promise<void> => {
    const [released] = await Promise.allSettled([releaseClients(context)]);
    await live.stepBack(way);
    if (released.status === 'rejected') throw released.reason as Error;
  };
  await insist(goOn, failed, cause);
}

/** What cannot be led back must not hold anybody: clients hear what is wrong, and a person mends it. */
async function letOff(context: StepContext, way: Way, cause: unknown): Promise<never> {
  const [released] = await Promise.allSettled([releaseClients(context)]);
  throw new StuckError(messageOf(cause), {
    cause,
    detail: released.status === 'rejected' ? `  clients are held: ${messageOf(released.reason)}` : undefined,
    hint: `mend the cause, then: ${settling(context, way.to)}`,
  });
}

/** What the process that crossed the pause has at hand. */
interface Crossed {
  readonly passage: Passage;
  readonly lead: Lead;
}

/**
 * All targets, and the mark of the side that is set aside: beside each other, where names stay what they are. In the pause
 * the mark can wait: the side is closed with or without it, and gets it when clients go on.
 */
export async function moveTargets(context: StepContext, way: Way, crossed?: Crossed): Promise<void> {
  const { live } = context.database;
  const targets = crossed?.lead.rest ?? context.targets;
  const flipping = (): Promise<void> => flipTogether({ targets }, way.from, way.to);
  if (context.plan.renames) {
    await crossed?.passage.leave();
    await flipping();
    return live.setAside(way);
  }
  if (crossed) return flipping();
  // Putting back must not overtake either of them.
  const both = await Promise.allSettled([flipping(), live.setAside(way)]);
  for (const each of both) if (each.status === 'rejected') throw each.reason as Error;
}

/** The databases' names, where this very process has looked at them in the pause. */
const known = ({ plan }: StepContext, crossed?: Crossed): Readonly<Record<Side, string>> | undefined =>
  crossed && !plan.renames ? plan.names : undefined;

/** The mark that the pause had no time for. One that cannot be made is insisted on when the sides are settled. */
export async function markedLater({ database }: StepContext, way: Way): Promise<void> {
  await database.live.setAside(way).catch(() => undefined);
}

/** What follows the commit point; `crossed` is there when the same process has come this far. */
async function flip(
  context: StepContext,
  way: Way,
  started: number,
  crossed?: Crossed,
): Promise<{ ms: number }> {
  const { database, plan } = context;
  const { from, to } = way;
  try {
    await moveTargets(context, way, crossed);
    await database.live.open(way, livePlan(context).follow, plan.blue.comment, known(context, crossed)?.[to]);
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
  await insist(() => releaseClients(context), `${to} is live, and clients could not be let go on`);
  const ms = performance.now() - started;
  if (crossed) await sleep(LOGINS_MS);
  if (crossed && !plan.renames) await markedLater(context, way);
  return { ms };
}
