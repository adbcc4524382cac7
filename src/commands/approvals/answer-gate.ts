import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, RefusedError, type ExitCode } from '../../core/errors.ts';
import type { Event } from '../../core/event.ts';
import type { JournalStore } from '../../journal/journal.ts';
import type { CommandIo, Options } from '../shared/io.ts';
import { chooseRun, withStore } from '../shared/surroundings.ts';

/** How long the process that asked has to take the answer. */
const PATIENCE_MS = 30_000;

/** How long an answer that was heard may take to be in the journal. */
const SETTLE_MS = 2000;

export type GateOptions = Options<{ gate?: string }>;

/** Answers the gate at which a run waits in another process. */
export async function answerGate(
  answer: 'go' | 'stop',
  named: string | undefined,
  options: GateOptions,
  io: CommandIo,
): Promise<ExitCode> {
  return withStore(options, async (store) => {
    const verb = answer === 'go' ? 'approve' : 'reject';
    const { run } = await chooseRun(store, named, { to: verb, phases: ['running'] });
    const opened = openGate(await store.read(run));
    if (!opened || (options.gate !== undefined && opened.step !== options.gate)) {
      throw new RefusedError(
        opened
          ? `run ${run} waits at ${opened.step}, not at ${options.gate}`
          : `no gate of run ${run} waits for an answer`,
        { hint: `see where it is: cutover status ${run}` },
      );
    }
    if ((await store.writer(run)) === undefined) {
      throw new RefusedError(`no process works on run ${run}: nobody would hear the answer`, {
        hint: `go on with it: cutover resume ${run}${answer === 'go' ? ' --yes' : ''}, or cutover abort ${run}`,
      });
    }
    const { step, seq } = opened;
    const request = await store.post(run, { kind: 'answer', step, answer, by: io.operator, seq });
    const heard = await answerOf(store, run, opened, PATIENCE_MS);
    await store.withdraw(run, request.id);
    // It may just have been heard when it was taken back.
    const given = heard ?? (await answerOf(store, run, opened, SETTLE_MS));
    if (!given) {
      throw new RefusedError(`the process of run ${run} did not take the answer; it was taken back`, {
        hint: `see where it is: cutover status ${run}`,
      });
    }
    const words = `${given.answer === 'go' ? 'yes' : 'no'} by ${given.by}`;
    if (given.answer !== answer || given.by !== io.operator)
      throw new RefusedError(`${step} of run ${run} was answered with ${words} meanwhile`);
    io.err(
      `${step} of run ${run} is answered with ${words}. To see how it goes on: cutover status ${run} --watch`,
    );
    return EXIT.done;
  });
}

type Opened = Extract<Event, { type: 'gate-opened' }>;
type Answered = Extract<Event, { type: 'gate-answered' }>;

/** The gate that was opened last, unless something has happened since. */
function openGate(events: readonly Event[]): Opened | undefined {
  const last = events.findLast(({ type }) => type !== 'step-progressed');
  return last?.type === 'gate-opened' ? last : undefined;
}

async function answerOf(
  store: JournalStore,
  run: string,
  opened: Opened,
  ms: number,
): Promise<Answered | undefined> {
  for (const deadline = Date.now() + ms; Date.now() < deadline; await sleep(200)) {
    const answered = (await store.read(run))
      .slice(opened.seq)
      .find((event) => event.type === 'gate-answered' && event.step === opened.step);
    if (answered) return answered as Answered;
  }
  return undefined;
}
