import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, RefusedError } from '../core/errors.ts';
import { fold, type RunPhase, type RunState } from '../journal/fold.ts';
import type { Journal, JournalStore } from '../journal/journal.ts';
import type { PlannedStep } from '../core/plan.ts';
import { commandTo } from '../core/side.ts';
import { endStrayProcesses } from '../util/stray.ts';
import type { Execution } from './engine/execution.ts';
import { openStored, type Drivers, type Surroundings } from './open.ts';
import { refusing } from './refusing.ts';
import type { Screen } from './screen/screen.ts';

/** A run of the journal with its servers and targets open, and locked against everybody else. */
export interface Reopened {
  readonly state: RunState;
  readonly journal: Journal;
  readonly drivers: Drivers;
  end(): Promise<void>;
}

/** Opens a run again. Throws RefusedError when it is in none of the phases, or when another process works on it. */
export const reopen = (...args: Parameters<typeof open>): Promise<Reopened> =>
  refusing(async () => {
    for (const deadline = Date.now() + TAKEN_MS; ; await sleep(TAKEN_PAUSE_MS)) {
      try {
        return await open(...args);
      } catch (error) {
        // Who takes up the run at the same moment, such as a guard, takes us for what was left of it, until there is nobody.
        if (!ENDED.has(codeOf(error) ?? '') || Date.now() > deadline) throw error;
      }
    }
  });

/** How a session that the server ends hears of it, also when the words of it are lost on the way. */
const ENDED = new Set(['57P01', '08006', 'ECONNRESET', 'EPIPE']);
/** For how long sessions may be taken for those of a process that died, and the time in which those who end them look twice. */
const TAKEN_MS = 10_000;
const TAKEN_PAUSE_MS = 250;

async function open(
  store: JournalStore,
  run: string,
  phases: readonly RunPhase[],
  around: Surroundings,
): Promise<Reopened> {
  const read = fold(await store.read(run));
  requirePhase(read, phases);
  const writer = await writerThatStays(store, run);
  // Before its sessions are ended: it may have lost its lock and be putting things back.
  if (writer !== undefined) {
    throw new RefusedError(`another process works on run ${run}: ${writer}`, {
      hint: `to see what it does: cutover status ${run} --watch`,
    });
  }
  const drivers = await openStored(read.plan, greenOid(read), around);
  try {
    await drivers.database.lock();
    await drivers.database.endAbandoned();
    await endStrayProcesses(run);
    // Another process may have gone on with the run until the lock was ours.
    const journal = await store.open(run);
    try {
      const state = fold(await journal.read());
      requirePhase(state, phases);
      return {
        state,
        journal,
        drivers,
        async end() {
          await journal.close();
          await drivers.end();
        },
      };
    } catch (error) {
      await journal.close();
      throw error;
    }
  } catch (error) {
    await drivers.end();
    throw error;
  }
}

/** How long a guard may take to let go whoever is held, and who died may take to be gone. */
const PASSING_MS = 5000;

/** Who works on a run, and still does after a while. */
async function writerThatStays(store: JournalStore, run: string): Promise<string | undefined> {
  for (const deadline = Date.now() + PASSING_MS; ; await sleep(100)) {
    const writer = await store.writer(run);
    if (writer === undefined || Date.now() > deadline) return writer;
  }
}

function requirePhase(state: RunState, phases: readonly RunPhase[]): void {
  if (phases.includes(state.phase)) return;
  throw new RefusedError(`run ${state.run} is ${state.phase}`, { hint: nextFor(state) });
}

/** What can be done with a run, by its phase. */
export function nextFor(state: RunState): string {
  switch (state.phase) {
    case 'running':
      return `${answerFor(state)}to put everything back: cutover abort ${state.run}; if no process works on it any more, to go on: cutover resume ${state.run}`;
    case 'unwinding':
    case 'stuck':
      return `if no process works on it any more: cutover abort ${state.run}`;
    case 'held':
      return `to go on: cutover resume ${state.run}; to put everything back: cutover abort ${state.run}`;
    case 'completed':
      return `to go back: cutover swap-back ${state.run}; to drop the previous copy: cutover retire ${state.run}`;
    case 'swapping back':
      return `to finish: cutover ${commandTo(state.heading)} ${state.run}`;
    case 'swapped back':
      return `${state.plan.live ? `to make green live once more: cutover switch ${state.run}; ` : ''}to drop the copy that was live: cutover retire ${state.run}`;
    case 'retiring':
      return `to finish: cutover retire ${state.run}`;
    case 'unwound':
    case 'refused':
      return 'nothing is left of it; to try again: cutover run PLAYBOOK';
    case 'retired':
      return 'nothing is left to do';
  }
}

/** At an open gate an answer is what is waited for. */
function answerFor({ run, plan, steps }: RunState): string {
  const waits = plan.steps.some(({ id, kind }) => kind === 'gate' && steps[id]!.phase === 'running');
  return waits ? `to answer: cutover approve ${run} or cutover reject ${run}; ` : '';
}

export function greenOid(state: RunState): number | undefined {
  const clone = state.plan.steps.find(({ kind }) => kind === 'clone');
  return (clone && (state.steps[clone.id]?.output as { oid?: number } | undefined))?.oid;
}

/** Steps whose effect, or a part of it, may be there. */
export const begunSteps = ({ plan, steps }: RunState): PlannedStep[] =>
  plan.steps.filter(({ id }) => !['waiting', 'undone'].includes(steps[id]!.phase));

/** An execution for what is done to a run after its own process has ended. */
export const executionOf = (
  reopened: Reopened,
  screen: Screen,
  signal: AbortSignal,
  ask: Execution['ask'] = () => Promise.resolve({ answer: 'stop', by: 'nobody' }),
  guard?: Execution['guard'],
): Execution => ({
  plan: reopened.state.plan,
  live: reopened.state.live,
  moved: reopened.state.switchedAt !== undefined,
  closed: reopened.state.closed,
  outputs: new Map(
    Object.entries(reopened.state.steps)
      .filter(([, { phase }]) => phase === 'done')
      .map(([id, { output }]) => [id, output]),
  ),
  drivers: reopened.drivers,
  journal: reopened.journal,
  screen,
  signal,
  ask,
  guard,
});
