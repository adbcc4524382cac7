import { other } from '../../core/side.ts';
import type { Way } from '../../core/database/live.ts';
import type { PlannedStep } from '../../core/plan.ts';
import type { StepContext } from '../../core/step.ts';
import { letClientsOn, releaseClients } from '../../steps/shared/clients.ts';
import { insist } from '../../steps/shared/insist.ts';
import { leadBack, mayBeLedAhead } from '../../steps/live/lead.ts';
import { isUntouched } from '../../steps/shared/proof.ts';
import { takesClients } from '../../steps/shared/swap.ts';
import { markedLater, moveTargets } from '../../steps/live/swap.ts';
import { contextOf, type Execution } from '../engine/execution.ts';
import { liveSide } from '../engine/live.ts';
import type { Reopened } from '../reopen.ts';

/**
 * Lets clients go on that a process held when it died: where they were, as long as ownership had not moved, and on the
 * new side otherwise. Everything else is left to `resume`, `abort` or `swap-back`, and nothing is journaled: what is done
 * here is what they would find out and do first. Who has opened the other side by hand is left alone. Says whether anything
 * was done.
 */
export async function letGo({ state }: Reopened, execution: Execution): Promise<boolean> {
  const { plan, live, phase, heading, closed } = state;
  if (!plan.live) return false;
  const context = contextOf(
    execution,
    plan.steps.find(({ ownership }) => ownership === 'moves') as PlannedStep,
  );
  const { database } = context;
  const to = phase === 'swapping back' ? heading : 'green';
  const way: Way = { from: other(to), to };
  if (live === way.to) {
    const sides = { blue: await database.state('blue'), green: await database.state('green') };
    if (!takesClients(sides[to])) {
      if (!isUntouched(sides, closed)) return false;
      await moveTargets(context, way);
      await database.live.open(way, plan.live.follow, plan.blue.comment);
    }
    const released = await releaseClients(context);
    const left = sides[way.from];
    if (left?.closed && left.mark === undefined) await markedLater(context, way);
    return released;
  }
  const ahead = await mayBeLedAhead(context, way);
  const isWhereItWas = async (): Promise<boolean> => {
    const side = liveSide(execution.drivers);
    // One that cannot be read may have been led ahead; where nothing was, it is waited for.
    return (await (ahead ? side.catch(() => undefined) : side)) === way.from;
  };
  if (!(await isWhereItWas())) {
    if (!ahead) return false;
    // What cannot be led back holds nobody for it: clients hear what is wrong, and a person mends it.
    await insist(() => leadBack(context, way), `${way.to} could not be led back`).catch(() => undefined);
    if (!(await isWhereItWas())) return (await mayBeLedAhead(context, way)) && letOff(context, way);
  }
  const stepped = (await database.state(way.to))?.closed === true;
  if (way.from === 'blue') await letClientsOn(context);
  else {
    await database.live.reopen(way);
    await releaseClients(context);
  }
  if (stepped) await database.live.stepBack(way);
  return true;
}

/** The side that has everything takes clients, wherever they are led; the other one stays closed. Repeatable. */
async function letOff(context: StepContext, way: Way): Promise<boolean> {
  await context.database.live.reopen(way);
  await releaseClients(context);
  return true;
}
