import { RefusedError, type ExitCode } from '../core/errors.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { chooseRun, withStore } from './shared/surroundings.ts';
import { swapTo } from './swap-back.ts';

type SwitchOptions = Options<{ yes?: true; acceptDataLoss?: true }>;

const PHASES = ['swapped back', 'swapping back'] as const;

/** Green becomes live once more after a swap back; it has followed since. */
export const run = (
  [named]: readonly (string | undefined)[],
  options: SwitchOptions,
  io: CommandIo,
): Promise<ExitCode> =>
  withStore(options, async (store) => {
    const chosen = await chooseRun(store, named, { to: 'switch once more', phases: PHASES });
    if (!chosen.plan.live) {
      throw new RefusedError(
        `run ${chosen.run} was made without sync: green has not followed since the swap back`,
        {
          hint: 'to go on, run the playbook again; to drop the copy: cutover retire',
        },
      );
    }
    return swapTo('green', chosen, store, options, io);
  });
