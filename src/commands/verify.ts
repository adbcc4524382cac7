import { RefusedError, UsageError, type ExitCode } from '../core/errors.ts';
import { loadPlaybook } from '../playbook/load.ts';
import type { RunState } from '../journal/fold.ts';
import { refuseIncomparable, verifyAgainst, withLive } from '../run/against.ts';
import { follows, verifyPlaybook, verifyRun } from '../run/verify.ts';
import { againstBackup } from './shared/against.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { jobsOf, listOf, maxActiveOf } from './arguments/lists.ts';
import { withSignals } from './running/signals.ts';
import { allRuns, surroundingsOf, withStore } from './shared/surroundings.ts';
import { progressLines, tellVerdict, type VerdictOptions } from './shared/verdict.ts';

type VerifyOptions = Options<
  VerdictOptions & { jobs?: string; maxActive?: string; tables?: string; against?: string }
>;

/** The checks of a playbook by themselves: on both sides of its run that follows, on two databases that stand still, or against a backup. */
export async function run(
  [file]: readonly (string | undefined)[],
  options: VerifyOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const playbook = await loadPlaybook(file!, around.env);
  if (playbook.verify.length === 0)
    throw new UsageError('the playbook asks for no check', { where: file, hint: 'verify: [checksums]' });
  const latest = await latestOf(playbook.name, options);
  const tables = options.tables === undefined ? undefined : listOf(options.tables);
  const { against } = options;
  const state = against === undefined && latest && follows(latest) ? latest : undefined;
  if (state && tables)
    throw new RefusedError(`run ${state.run} follows: all of its tables are read at one moment`, {
      hint: 'leave --tables out',
    });
  const jobs = jobsOf(options.jobs);
  const maxActive = maxActiveOf(options.maxActive);
  const started = performance.now();
  return withSignals(
    io.err,
    async (signal) => {
      const progress = progressLines(io, options);
      const verifying = { around, jobs, maxActive, tables, signal, progress };
      const compared = await (against !== undefined
        ? withLive(playbook, latest, around, (live) => {
            refuseIncomparable(live, verifying);
            const backup = { path: against, url: live.url, around, quiet: options.quiet, signal };
            return againstBackup(backup, io, (copy) => verifyAgainst(live, copy, verifying));
          })
        : state
          ? verifyRun(state, verifying)
          : verifyPlaybook(playbook, verifying));
      return tellVerdict(compared, performance.now() - started, options, io);
    },
    { means: 'the reading ends; nothing was touched' },
  );
}

/** The playbook's latest run that came to something. */
const latestOf = (name: string, options: VerifyOptions): Promise<RunState | undefined> =>
  withStore(options, async (store) => {
    const { states } = await allRuns(store);
    return states.findLast(
      ({ plan, phase }) => plan.name === name && phase !== 'refused' && phase !== 'unwound',
    );
  });
