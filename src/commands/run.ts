import type { RunApproval } from '../core/approval.ts';
import type { Resolve } from '../core/driver.ts';
import type { ExitCode } from '../core/errors.ts';
import { RefusedError, TimeOverError, UsageError } from '../core/errors.ts';
import type { Gate } from '../core/playbook.ts';
import type { Plan } from '../core/plan.ts';
import type { JournalStore } from '../journal/journal.ts';
import { loadPlaybook } from '../playbook/load.ts';
import { execute } from '../run/engine/execute.ts';
import { prepareRun, type PreparedRun } from '../run/new-run.ts';
import { refusing } from '../run/refusing.ts';
import { approvalFor, isWatched } from './shared/approving.ts';
import { drive } from './shared/drive.ts';
import { formatDuration } from '../util/units.ts';
import { guardOf } from './shared/guarding.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { screenFor } from './shared/screens.ts';
import { withSignals, type Stop } from './shared/signals.ts';
import { measuredBefore, surroundingsOf, withStore } from './shared/surroundings.ts';

type RunOptions = Options<{ yes?: true; json?: true; rates?: string; until?: string }>;

export async function run(
  [file]: readonly (string | undefined)[],
  options: RunOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const playbook = await loadPlaybook(file!, around.env);
  const asks = playbook.gate.mode === 'ask' && !options.yes;
  if (asks) refuseUnheard(playbook.gate, io, 'run');
  const work = async (signal: AbortSignal, stop: Stop): Promise<ExitCode> => {
    const measured = await measuredBefore(options, playbook.name);
    const prepared = await prepareRun(playbook, around, true, measured);
    let end: (() => void) | undefined;
    try {
      end = untilOf(options.until, prepared.plan, stop);
      const approval = (store: JournalStore): Promise<RunApproval | undefined> =>
        approvalFor(
          store,
          file!,
          playbook,
          prepared,
          around,
          asks && isWatched(playbook.gate, io, options.yes),
        );
      return await runPrepared({ ...prepared, approval, resolve: around.resolve }, options, io, signal, stop);
    } finally {
      end?.();
      if (prepared.drivers.stays) io.err(`The embedded server goes on running: ${prepared.drivers.stays}`);
      await prepared.drivers.end();
    }
  };
  return withSignals(io.err, work, { unattended: !(asks && io.interactive) });
}

/** Of a timer. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Sees to it that the switch is over by then: when there is only as much time left as it needs, everything is put back, as
 * long as its commit point is not behind it. Throws RefusedError when there is too little from the beginning; gives what
 * ends the watching.
 */
function untilOf(given: string | undefined, { steps, names }: Plan, stop: Stop): () => void {
  if (given === undefined) return () => undefined;
  const until = Date.parse(given);
  if (Number.isNaN(until))
    throw new UsageError(`--until ${given} is no time`, {
      hint: 'write one such as 2026-11-22T05:30:00+01:00',
    });
  const closing = steps.filter(({ kind, ownership }) => ownership === 'moves' || kind === 'keep');
  const needed = closing.reduce((sum, { estimate }) => sum + (estimate?.most ?? estimate?.ms ?? 0), 0);
  const left = until - needed - Date.now();
  const words = `everything has to be over by ${new Date(until).toISOString()}, and the switch needs ${formatDuration(needed)}`;
  if (left <= 0) throw new RefusedError(`${words}: it is too late to begin`, { hint: 'nothing was touched' });
  // Further ahead no timer reaches, and no run.
  if (left > LONGEST_MS) return () => undefined;
  const timer = setTimeout(
    () =>
      stop(
        'The time is over',
        new TimeOverError(words, { hint: `${names.blue} is live; run again in the next window` }),
      ),
    left,
  );
  return () => clearTimeout(timer);
}

/** A gate without a time limit, and without a terminal, would keep blue closed for as long as nobody looks. */
export function refuseUnheard(
  { timeout }: Partial<Pick<Gate, 'timeout'>>,
  io: CommandIo,
  command: string,
): void {
  if (io.interactive || timeout !== undefined) return;
  throw new RefusedError('the gate before the switch would ask, and there is no terminal to ask at', {
    hint: `answer beforehand: cutover ${command} --yes; or let the playbook say: gate: open; or give the gate a time limit`,
  });
}

/** The fence ends every session in blue: a journal there would be closed with it. */
async function refuseStateInBlue(store: JournalStore, { server, names }: Plan): Promise<void> {
  const home = await store.home();
  if (home?.server !== server.identifier || !Object.values(names).includes(home.database)) return;
  throw new RefusedError(`the journal of --state is in ${home.database}, which this run closes`, {
    hint: 'give another database with --state, or a folder; nothing was touched',
  });
}

interface ReadyRun extends PreparedRun {
  /** Throws RefusedError when the run needs an approval, and none holds. */
  readonly approval: (store: JournalStore) => Promise<RunApproval | undefined>;
  readonly resolve: Resolve;
}

async function runPrepared(
  { plan, drivers, approval: approve, resolve }: ReadyRun,
  options: RunOptions,
  io: CommandIo,
  signal: AbortSignal,
  stop: Stop,
): Promise<ExitCode> {
  const screen = await screenFor(io, options.json === true);
  return withStore(options, async (store) => {
    await refuseStateInBlue(store, plan);
    const approval = await refusing(() => approve(store));
    const journal = await refusing(() => store.create(plan.run));
    try {
      screen.start(plan);
      screen.event(
        await refusing(() =>
          journal.append({
            type: 'run-created',
            run: plan.run,
            operator: io.operator,
            plan,
            ...(approval && { approval }),
          }),
        ),
      );
      const { names } = plan;
      const driven = { store, journal, drivers, names, screen, io, resolve, options, signal, stop };
      const guard = guardOf(options, plan.run);
      const fresh = {
        live: 'blue' as const,
        moved: false,
        closed: undefined,
        outputs: new Map<string, unknown>(),
      };
      return await drive(driven, (ask) =>
        execute({ ...fresh, plan, drivers, journal, screen, signal, ask, guard }),
      );
    } finally {
      await journal.close();
    }
  });
}
