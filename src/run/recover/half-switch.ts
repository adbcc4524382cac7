import { StuckError } from '../../core/errors.ts';
import type { PlannedStep } from '../../core/plan.ts';
import type { StepContext } from '../../core/step.ts';
import { steps as registry } from '../../steps/registry.ts';
import { undoLead } from '../../steps/live/lead.ts';
import { takesClients } from '../../steps/shared/swap.ts';
import { isUntouched } from '../../steps/shared/proof.ts';
import { proofOf } from '../../steps/switch.ts';
import { contextOf, type Execution } from '../engine/execution.ts';
import { describeNow } from '../now.ts';

/**
 * How a switch stands whose process died, by what the servers and targets say.
 * `through`: green is live. `unmoved`: blue is. `half-way`: ownership was moved, both sides are closed, and nobody
 * can have written to either since they were verified: it may be finished as well as put back.
 */
export type HalfSwitch = 'unmoved' | 'half-way' | 'through';

/**
 * Asks servers and targets; a contradiction is a StuckError and never a guess. What was led ahead of the commit point is led
 * back at once: `unmoved` means that every target points at blue.
 */
export async function lookAtSwitch(execution: Execution, moving: PlannedStep): Promise<HalfSwitch> {
  const context = contextOf(execution, moving);
  const probe = await registry.switch.probe(context);
  if (probe === 'absent') {
    await refuseOpenCopy(context, execution);
    return 'unmoved';
  }
  if (execution.live === 'blue') {
    const back = await undoLead(context, { from: 'blue', to: 'green' });
    if (back && (await registry.switch.probe(context)) === 'absent') return 'unmoved';
    throw await contradiction(execution, 'targets were moved, and not by this run');
  }
  if (probe === 'done') {
    if (takesClients(await context.database.state('blue')))
      throw await contradiction(execution, 'both sides accept connections');
    return 'through';
  }
  const sides = {
    blue: await context.database.state('blue'),
    green: await context.database.state('green'),
  };
  if (!isUntouched(sides, proofOf(context)))
    throw await contradiction(
      execution,
      'somebody altered, and perhaps opened, a side in the middle of the switch',
    );
  return 'half-way';
}

/** Green is not live, by every target: open in the middle of a switch it could have taken anything. */
async function refuseOpenCopy(context: StepContext, execution: Execution): Promise<void> {
  if (takesClients(await context.database.state('green')) && execution.live === 'green')
    throw await contradiction(execution, 'the targets point at blue, and green accepts connections');
}

async function contradiction(execution: Execution, what: string): Promise<StuckError> {
  const { plan, drivers } = execution;
  return new StuckError(`which side is live cannot be settled: ${what}`, {
    detail: (await describeNow(drivers, plan.names)).map((line) => `  ${line}`).join('\n'),
    hint: `find out which database is live, put names and targets where they belong, then: cutover abort ${plan.run}`,
  });
}
