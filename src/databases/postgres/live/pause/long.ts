import { setTimeout as sleep } from 'node:timers/promises';
import { StepError } from '../../../../core/errors.ts';
import type { LongTransactions } from '../../../../core/playbook.ts';
import type { Side } from '../../../../core/side.ts';
import type { WorkControl } from '../../../../core/work.ts';
import { formatDuration } from '../../../../util/units.ts';
import { describeSession } from '../../door/fence.ts';
import { readSessions } from '../../facts/facts.ts';
import type { Sides } from '../../sides.ts';

const POLL_MS = 100;
/** What is open for longer than this is not over in a moment. */
const LONG_SECONDS = 1;

/** Transactions that are open for longer than the pause may last would only use it up. */
export async function waitForLong(
  sides: Sides,
  side: Side,
  long: LongTransactions,
  control: WorkControl,
): Promise<void> {
  const admin = await sides.admin(side);
  const { oid, name } = await sides.found(side);
  for (const started = Date.now(); ; await sleep(POLL_MS, undefined, { signal: control.signal })) {
    const busy = (await readSessions(admin, oid, sides.pids())).filter(
      ({ kind, transactionSeconds }) => kind === 'client backend' && (transactionSeconds ?? 0) > LONG_SECONDS,
    );
    const [first] = busy;
    if (!first) return;
    control.progress(0, busy.length, 'sessions', `waiting for a long transaction: ${describeSession(first)}`);
    if (Date.now() - started < long.wait) continue;
    if (long.then === 'refuse') {
      throw new StepError(
        `${busy.length} transactions on ${name} were still open after ${formatDuration(long.wait)}`,
        {
          detail: busy.map((session) => `  ${describeSession(session)}`).join('\n'),
          hint: 'wait for them or end them; or let the tool end them: switch: { long-transactions: { wait: 10s, then: end } }',
        },
      );
    }
    for (const { pid } of busy) await admin.query('select pg_terminate_backend($1)', [pid]);
  }
}
