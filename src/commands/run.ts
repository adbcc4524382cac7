import type { RunApproval } from '../core/approval.ts';
import type { Resolve } from '../core/drivers/driver.ts';
import type { ExitCode } from '../core/errors.ts';
import { RefusedError } from '../core/errors.ts';
import type { Gate } from '../core/playbook.ts';
import type { Plan } from '../core/plan.ts';
import type { JournalStore } from '../journal/journal.ts';
import { loadPlaybook } from '../playbook/load.ts';
import { settleBake } from '../run/after/bake.ts';
import { execute } from '../run/engine/execute.ts';
import { prepareRun, type PreparedRun } from '../run/new-run.ts';
import type { Outbox } from '../run/notify/outbox.ts';
import { watched } from '../run/notify/watch.ts';
import { refusing } from '../run/refusing.ts';
import { traced } from '../run/spans.ts';
import { approvalFor, isWatched } from './approvals/approving.ts';
import { Deadline, tooShortOf, type TimeOptions } from './running/deadline.ts';
import { drive } from './running/drive.ts';
import { guardOf } from './running/guarding.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { notifying, tellThrown } from './running/notifying.ts';
import { repeatFlags } from './arguments/repeat-flags.ts';
import { screenFor } from './running/screens.ts';
import { withSignals, type Stop } from './running/signals.ts';
import { measuredBefore, surroundingsOf, withStore } from './shared/surroundings.ts';

type RunOptions = Options<TimeOptions & { yes?: true; json?: true; rates?: string; window?: string }>;

export async function run(
  [file]: readonly (string | undefined)[],
  options: RunOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const playbook = await loadPlaybook(file!, around.env);
  const asks = playbook.gate.mode === 'ask' && !options.yes;
  // A run that is only prepared does not come to its gate.
  const hears = asks && !options.prepare;
  return notifying(io, around, playbook, async (outbox) => {
    const work = async (signal: AbortSignal, stop: Stop): Promise<ExitCode> => {
      const measured = await measuredBefore(options, playbook.name);
      const prepared = await prepareRun(playbook, around, true, measured);
      let deadline: Deadline | undefined;
      try {
        deadline = new Deadline(options, prepared.plan, stop);
        const watching = asks && isWatched(playbook.gate, io, options.yes);
        const approval = (store: JournalStore): Promise<RunApproval | undefined> =>
          approvalFor(store, file!, playbook, prepared, around, watching);
        return await runPrepared(
          { ...prepared, deadline, approval, resolve: around.resolve },
          { options, io, outbox, signal, stop },
        );
      } finally {
        deadline?.end();
        if (prepared.drivers.stays) io.err(`The embedded server goes on running: ${prepared.drivers.stays}`);
        await prepared.drivers.end();
      }
    };
    try {
      if (hears) refuseUnheard(playbook.gate, io, 'run');
      return await withSignals(io.err, work, { unattended: !(hears && io.interactive) });
    } catch (error) {
      tellThrown(outbox, playbook.name, error);
      throw error;
    }
  });
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

interface Running {
  readonly options: RunOptions;
  readonly io: CommandIo;
  readonly outbox: Outbox;
  readonly signal: AbortSignal;
  readonly stop: Stop;
}

interface ReadyRun extends PreparedRun {
  readonly deadline: Deadline;
  /** Throws RefusedError when the run needs an approval, and none holds. */
  readonly approval: (store: JournalStore) => Promise<RunApproval | undefined>;
  readonly resolve: Resolve;
}

async function runPrepared(
  { plan, drivers, deadline, approval: approve, resolve }: ReadyRun,
  { options, io, outbox, signal, stop }: Running,
): Promise<ExitCode> {
  const shown = watched(await screenFor(io, options.json === true), outbox, {
    answered: options.yes === true,
    spell: repeatFlags(options),
  });
  return withStore(options, async (store) => {
    await refuseStateInBlue(store, plan);
    const approval = await refusing(() => approve(store));
    const journal = await refusing(() => store.create(plan.run));
    const screen = await traced(shown, { plan, live: 'blue', resumed: false });
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
            ...(options.window !== undefined && { window: options.window }),
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
      return await drive(driven, async (ask) => {
        const conduct = { prepare: options.prepare === true, tooShort: tooShortOf(options, plan) };
        const execution = { ...fresh, ...conduct, plan, drivers, journal, screen, signal, ask, guard };
        deadline.watch(execution);
        return settleBake(execution, await execute(execution), io.operator);
      });
    } finally {
      await journal.close();
      await screen.flush();
    }
  });
}
