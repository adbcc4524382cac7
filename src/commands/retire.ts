import { EXIT, RefusedError, type ExitCode } from '../core/errors.ts';
import type { JournalStore } from '../journal/journal.ts';
import { onlyInCopy } from '../journal/state.ts';
import { reopen } from '../run/reopen.ts';
import { previousCopy, retire } from '../run/after/retire.ts';
import { askText } from './shared/ask.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { shellWord } from './arguments/repeat-flags.ts';
import { chooseRun, surroundingsOf, withStore } from './shared/surroundings.ts';

type RetireOptions = Options<{ confirm?: string }>;

const PHASES = ['completed', 'swapped back', 'retiring'] as const;

export const run = (
  [named]: readonly (string | undefined)[],
  options: RetireOptions,
  io: CommandIo,
): Promise<ExitCode> => withStore(options, (store) => retireRun(store, named, options, io));

async function retireRun(
  store: JournalStore,
  named: string | undefined,
  options: RetireOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const chosen = await chooseRun(store, named, { to: 'retire', phases: PHASES });
  const reopened = await reopen(store, chosen.run, PHASES, await surroundingsOf(options));
  try {
    const copy = await previousCopy(reopened);
    if (!copy) {
      const { names, renames } = chosen.plan;
      const gone = chosen.live === 'blue' ? names.green : renames ? names.previous : names.blue;
      await retire(reopened, io.operator, gone);
      io.err(`Database ${gone} was gone already. Run ${chosen.run} is retired.`);
      return EXIT.done;
    }
    const { name } = copy;
    const only = onlyInCopy(chosen);
    if (only.length > 0)
      io.err([`${name} holds what exists nowhere else:`, ...only.map((line) => `  ${line}`)].join('\n'));
    if (options.confirm === undefined && !io.interactive) {
      throw new RefusedError(`dropping ${name} needs its name, and there is no terminal to type it at`, {
        hint: `cutover retire ${chosen.run} --confirm ${shellWord(name)}`,
      });
    }
    const typed =
      options.confirm ?? (await askText(`This drops database ${name} for good. Type its name to go on:`));
    if (typed !== name)
      throw new RefusedError(`that is not the name; ${name} stays`, { hint: 'nothing was dropped' });
    await retire(reopened, io.operator, name);
    io.err(`Database ${name} was dropped. Run ${chosen.run} is retired.`);
    return EXIT.done;
  } finally {
    await reopened.end();
  }
}
