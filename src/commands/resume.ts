import type { ExitCode } from '../core/errors.ts';
import type { GateLimit } from '../core/step.ts';
import { BEFORE_THE_END, type RunState } from '../journal/fold.ts';
import { settleBake } from '../run/after/bake.ts';
import { resume } from '../run/recover/resume.ts';
import { watched } from '../run/notify/watch.ts';
import { traced, type Taken } from '../run/spans.ts';
import { executionOf, reopen } from '../run/reopen.ts';
import { refuseUnheard } from './run.ts';
import { isWatched, refuseEnded, refuseUnapproved } from './approvals/approving.ts';
import { Deadline, tooShortOf, type TimeOptions } from './running/deadline.ts';
import { drive } from './running/drive.ts';
import { guardOf } from './running/guarding.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { notifying, toldOf } from './running/notifying.ts';
import { repeatFlags } from './arguments/repeat-flags.ts';
import { screenFor } from './running/screens.ts';
import { withSignals, type Stop } from './running/signals.ts';
import { chooseRun, surroundingsOf, withStore } from './shared/surroundings.ts';

type ResumeOptions = Options<Omit<TimeOptions, 'prepare'> & { yes?: true; json?: true; window?: string }>;

/** Goes on with a run whose process is gone, or which is held. */
export async function run(
  [named]: readonly (string | undefined)[],
  options: ResumeOptions,
  io: CommandIo,
): Promise<ExitCode> {
  return withStore(options, async (store) => {
    const chosen = await chooseRun(store, named, { to: 'resume', phases: BEFORE_THE_END });
    const gate = openGate(chosen);
    const asks = gate !== undefined && !options.yes;
    if (asks) refuseUnheard(gate, io, `resume ${chosen.run}`);
    const isWatchedHere = isWatched(gate, io, options.yes);
    if (gate) refuseUnapproved(chosen.plan, chosen.approval, isWatchedHere);
    if (!isWatchedHere) await refuseEnded(store, chosen);
    const around = await surroundingsOf(options);
    const told = toldOf(chosen.plan);
    return notifying(io, around, told, async (outbox) => {
      const work = async (signal: AbortSignal, stop: Stop): Promise<ExitCode> => {
        const reopened = await reopen(store, chosen.run, BEFORE_THE_END, around);
        let deadline: Deadline | undefined;
        let tracing: Awaited<ReturnType<typeof traced>> | undefined;
        try {
          deadline = new Deadline(options, chosen.plan, stop);
          const { journal, drivers, state } = reopened;
          const shown = watched(await screenFor(io, options.json === true), outbox, {
            state,
            answered: options.yes === true,
            spell: repeatFlags(options),
          });
          const screen = await traced(shown, takenFrom(state));
          tracing = screen;
          const driven = {
            store,
            journal,
            drivers,
            names: state.plan.names,
            screen,
            io,
            resolve: around.resolve,
            options,
            signal,
            stop,
          };
          return await drive(driven, async (ask) => {
            const execution = {
              ...executionOf(reopened, screen, signal, ask, guardOf(options, chosen.run)),
              tooShort: tooShortOf(options, chosen.plan),
            };
            deadline?.watch(execution);
            return settleBake(
              execution,
              await resume(reopened, execution, io.operator, options.window),
              io.operator,
            );
          });
        } finally {
          deadline?.end();
          if (reopened.drivers.stays)
            io.err(`The embedded server goes on running: ${reopened.drivers.stays}`);
          await reopened.end();
          await tracing?.flush();
        }
      };
      return withSignals(io.err, work, { unattended: !(asks && io.interactive) });
    });
  });
}

function takenFrom({ plan, live, steps }: RunState): Taken {
  const fence = plan.steps.find(({ kind }) => kind === 'fence');
  return { plan, live, resumed: true, fencedAt: fence && steps[fence.id]?.startedAt };
}

/** The gate that going on would come to: a run that follows verifies anew, and asks anew. */
function openGate({ plan, phase, live, steps }: RunState): GateLimit | undefined {
  const gate = plan.steps.find(({ kind }) => kind === 'gate');
  if (!gate || (phase !== 'running' && phase !== 'held')) return undefined;
  if (steps[gate.id]!.phase === 'done' && (!plan.live || live === 'green')) return undefined;
  return gate.input as GateLimit;
}
