import type { Approved } from '../../core/approval.ts';
import { messageOf } from '../../core/errors.ts';
import type { Playbook } from '../../core/playbook.ts';
import { keyOf } from '../../run/approval/seal.ts';
import { standingOf, type Standing } from '../../run/approval/standing.ts';
import type { Surroundings } from '../../run/open.ts';
import type { GlobalOptions } from '../shared/io.ts';
import { withStore } from '../shared/surroundings.ts';

/** How it stands with the approval of a playbook; a store that cannot be read keeps nobody from the rest. */
export async function standingFor(
  { name }: Playbook,
  options: GlobalOptions,
  around: Pick<Surroundings, 'variables'>,
  now?: Approved,
): Promise<Standing> {
  const key = keyOf(around.variables);
  try {
    return await withStore(options, (store) => standingOf(store, name, key, now));
  } catch (error) {
    return { approval: undefined, reasons: [`it is not known: ${messageOf(error)}`] };
  }
}
