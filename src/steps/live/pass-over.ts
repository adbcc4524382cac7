import type { Way } from '../../core/database/live.ts';
import type { StepContext } from '../../core/step.ts';
import { catchUp, StandsStill } from '../sync.ts';
import { controlOf } from '../shared/control.ts';

/** So often one looks in vain for what it fails at. */
const LOOKS = 3;

/**
 * Lets `to` catch up, and gives what it cost, a line each. A transaction that it cannot apply is passed over as a whole,
 * and stays on `from` alone. Nothing is passed over that was not written down before.
 */
export async function catchUpWithout(context: StepContext, way: Way): Promise<string[]> {
  const passed: string[] = [];
  let vain = 0;
  const { live } = context.database;
  for (;;) {
    try {
      await catchUp(context, way);
      return passed;
    } catch (error) {
      if (!(error instanceof StandsStill)) throw error;
      const standing = await live.standing(way, controlOf(context));
      if (!standing) {
        // There is room for it by now; or it is no transaction that anybody fails at.
        vain += 1;
        if (vain < LOOKS) continue;
        throw error;
      }
      vain = 0;
      const { lsn, changes } = standing;
      const transaction = `a transaction that does not fit (${lsn}): ${changes.join(', ')}`;
      await context.record({ type: 'swap-back-passed-over', to: way.to, transaction });
      passed.push(transaction);
      await live.passOver(way, lsn, controlOf(context));
    }
  }
}
