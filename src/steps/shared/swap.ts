import type { SideState } from '../../core/database/database.ts';
import { AwayError, messageOf, StepError, StuckError } from '../../core/errors.ts';
import { commandTo, type Side } from '../../core/side.ts';
import type { StepContext } from '../../core/step.ts';
import { uninterrupted } from './control.ts';
import { closedSides, isUntouched, type Closed } from './proof.ts';

/** How long the server may be away between the commit point and the opening of the new side. */
const PATIENCE_MS = 30_000;

/**
 * Moves ownership from one side to the other: the switch, and with the sides exchanged the swap back.
 *
 * Both sides stay closed until every target has flipped, so no client can write to either while they disagree. Before
 * `ownership-moved` any error leaves everything as it was. After it an error puts the targets back; that loses
 * nothing, because the new side has not been opened yet. Opening it is the last thing done, and the point of no
 * return. Throws StuckError when what is live cannot be settled.
 */
export async function swap(
  context: StepContext,
  from: Side,
  to: Side,
  proof?: Closed,
): Promise<{ ms: number }> {
  const started = performance.now();
  // A process that died in between: ownership is moved, nobody could write since, and what is left is to finish.
  if (context.live() === to) {
    context.database.setPatience(PATIENCE_MS);
    return flip(context, from, to, started);
  }
  const { database, targets } = context;
  for (const { target } of targets) await target.prepare(from, to);
  context.signal.throwIfAborted();

  // From here on a signal waits until the switch has settled.
  const control = uninterrupted(context);
  await closedSides(context);
  await database.close(from, context.plan.longTransactions, control);
  await database.close(to, { wait: 0, then: 'end' }, control);
  if (proof && !isUntouched(await closedSides(context), proof)) {
    throw new StepError('a side was altered, and perhaps opened, by somebody since it was verified', {
      hint: 'what was verified may not be true any more; run again',
    });
  }
  await database.assertLocked();
  await database.releaseReaders();
  database.setPatience(PATIENCE_MS);

  await context.record({ type: 'ownership-moved', from, to });
  return flip(context, from, to, started);
}

/** What follows the commit point. */
async function flip(context: StepContext, from: Side, to: Side, started: number): Promise<{ ms: number }> {
  const { database, targets } = context;
  const comment = context.plan.blue.comment;
  try {
    for (const [index, { name, target }] of targets.entries()) {
      context.progress(index, targets.length, 'targets', name);
      await target.switch(from, to);
    }
    await database.mark(from, 'previous', comment);
    await database.mark(to, undefined, comment);
    await database.open(to);
  } catch (cause) {
    if (await isOpen(context, to, cause)) return { ms: performance.now() - started };
    await putBackOrStuck(context, from, to, cause);
    throw new StepError(`the switch failed and every target was put back: ${messageOf(cause)}`, {
      cause,
      hint: cause instanceof StepError ? cause.hint : undefined,
    });
  }
  return { ms: performance.now() - started };
}

/** Clients may be there: it accepts connections, and is neither a copy nor set aside. */
export const takesClients = (state: SideState | undefined): boolean =>
  state !== undefined && !state.closed && state.mark === undefined;

/** All at once; when one fails, it is only told after the others have ended, for putting back must not overtake them. */
export async function flipTogether(
  { targets }: Pick<StepContext, 'targets'>,
  from: Side,
  to: Side,
): Promise<void> {
  const flipped = await Promise.allSettled(targets.map(({ target }) => target.switch(from, to)));
  for (const each of flipped) if (each.status === 'rejected') throw each.reason as Error;
}

/** The opening may have come through although its answer did not: then the new side is live, and that is that. */
export async function isOpen(context: StepContext, to: Side, cause: unknown): Promise<boolean> {
  try {
    return takesClients(await context.database.state(to));
  } catch {
    throw new StuckError(`the server went away in the middle of the switch: ${messageOf(cause)}`, {
      cause,
      hint: `when the server is back: ${settling(context, to)}`,
    });
  }
}

export async function putBackOrStuck(
  context: StepContext,
  from: Side,
  to: Side,
  cause: unknown,
): Promise<void> {
  try {
    await putBack(context, from, to);
  } catch (second) {
    throw new StuckError(
      `the switch failed (${messageOf(cause)}), and so did putting it back: ${messageOf(second)}`,
      {
        cause,
        hint: `mend the cause, then: ${settling(context, to)}`,
      },
    );
  }
  // Should this one not be written, the targets themselves say where they point.
  await context.record({ type: 'ownership-moved', from: to, to: from }).catch(() => undefined);
}

/** What settles a switch that stopped half-way; one after the run's own is only ever settled as what it is. */
export const settling = ({ run, plan, step }: StepContext, to: Side): string =>
  `cutover ${plan.steps.some(({ id }) => id === step.id) ? 'abort' : commandTo(to)} ${run}`;

/**
 * Points every target at `from` again and sets the marks as they were; says whether anything had to be moved.
 * Refuses when `to` is open, or was since the proof: it may have taken writes, and only a swap back may decide about
 * those.
 */
export async function putBack(context: StepContext, from: Side, to: Side, proof?: Closed): Promise<boolean> {
  const { database, targets } = context;
  const sides = await Promise.all(targets.map(({ target }) => target.current()));
  const moved = sides.some((side) => side !== from);
  const states = { blue: await database.state('blue'), green: await database.state('green') };
  const state = states[to];
  if (takesClients(state) && sides.some((side) => side === to)) {
    throw new StuckError(`${to} is live already and may have taken writes`, {
      hint:
        to === 'green'
          ? `to go back: cutover swap-back ${context.run}`
          : `see: cutover status ${context.run}`,
    });
  }
  if (moved && proof && state && states[from]?.closed && !isUntouched(states, proof)) {
    throw new StuckError(
      `${state.name} was altered, and perhaps opened, by somebody in the middle of the switch`,
      {
        hint: 'it may have taken writes: compare both databases, and put the targets where they belong by hand',
      },
    );
  }
  // One that is there already only tidies up behind a process that died.
  for (const { target } of targets.toReversed()) {
    await target.switch(to, from).catch((error: unknown) => {
      if (!(error instanceof AwayError)) throw error;
    });
  }
  if (!moved && states[from]?.mark === undefined) return false;
  const comment = context.plan.blue.comment;
  // With sync the mark goes in the very transaction that opens the side.
  if (state && !context.plan.live) await database.mark(to, to === 'green' ? 'copy' : 'previous', comment);
  await database.mark(from, undefined, comment);
  return moved;
}
