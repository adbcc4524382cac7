import { EXIT, messageOf, type ExitCode } from '../../core/errors.ts';
import { approvalsData, approvalsText, type Listed } from '../../report/approval.ts';
import { keyOf } from '../../run/approval/seal.ts';
import { standingOf } from '../../run/approval/standing.ts';
import type { CommandIo, Options } from '../shared/io.ts';
import { surroundingsOf, withStore } from '../shared/surroundings.ts';

/** Lists every approval, and what can be said of it without asking blue; one that cannot be read hides no other. */
export async function listApprovals(options: Options<{ json?: true }>, io: CommandIo): Promise<ExitCode> {
  const key = keyOf((await surroundingsOf(options)).variables);
  let unreadable = false;
  const listed = await withStore(options, async (store) => {
    const found: Listed[] = [];
    for (const name of await store.approvals()) {
      try {
        found.push({ name, standing: await standingOf(store, name, key) });
      } catch (error) {
        unreadable = true;
        found.push({ name, standing: { approval: undefined, reasons: [messageOf(error)] } });
      }
    }
    return found;
  });
  io.out(options.json ? JSON.stringify(approvalsData(listed), null, 2) : approvalsText(listed));
  return unreadable ? EXIT.internal : EXIT.done;
}
