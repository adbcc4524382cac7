import type { DriverUse } from '../../core/drivers/driver.ts';
import { CutoverError, EXIT, messageOf } from '../../core/errors.ts';
import type { Plan } from '../../core/plan.ts';
import { openNotifiers, type Surroundings } from '../../run/open.ts';
import { Outbox } from '../../run/notify/outbox.ts';
import type { CommandIo } from '../shared/io.ts';
import { withSignals } from './signals.ts';

/** Who is told, as a playbook or the plan of a run says. */
export interface Told {
  readonly notify: readonly DriverUse[];
  readonly folder: string;
}

/** Journals of before there were notices name nobody. */
export const toldOf = ({ notify, playbook }: Plan): Told => ({
  notify: notify ?? [],
  folder: playbook.folder,
});

/**
 * Lets notices be sent for as long as `work` goes on; what is not delivered then has a bounded time. Whatever becomes of
 * them, the work's outcome is the same.
 */
export async function notifying<T>(
  io: CommandIo,
  around: Surroundings,
  told: Told,
  work: (outbox: Outbox) => Promise<T>,
): Promise<T> {
  const later: string[] = [];
  let drawn = io.live;
  // A live list is not written into.
  const outbox = outboxOf(around, told, (line) => void (drawn ? later.push(line) : io.err(line)));
  try {
    return await work(outbox);
  } finally {
    drawn = false;
    for (const line of later) io.err(line);
    await delivered(io, outbox);
  }
}

/** Waits a bounded time for what is not delivered; a signal ends the waiting, and nothing else. */
export async function delivered(
  io: CommandIo,
  outbox: { readonly pending: number; end(signal: AbortSignal): Promise<void> },
): Promise<void> {
  if (outbox.pending === 0) return;
  const means = 'notices that are not delivered yet are given up';
  await withSignals(io.err, (signal) => outbox.end(signal), { unattended: true, means });
}

/** Those that cannot be opened are said, and the others are told. */
export const outboxOf = (
  around: Surroundings,
  { notify, folder }: Told,
  say: (line: string) => void,
): Outbox =>
  new Outbox(
    openNotifiers(notify, folder, around, ({ driver }, error) =>
      say(`Nobody is told by ${driver}: ${messageOf(error)}`),
    ),
    say,
  );

/** A run that was refused before it was in the journal; one that was there has told by itself what became of it. */
export function tellThrown(outbox: Outbox, playbook: string, error: unknown): void {
  if (outbox.posted('failed') || outbox.posted('switched')) return;
  const begun = outbox.posted('started');
  const how = begun ? 'ended by an error' : 'refused, no run was begun';
  outbox.post({
    event: 'failed',
    playbook,
    run: undefined,
    outcome: begun ? 'failed' : 'refused',
    exit: error instanceof CutoverError ? error.exit : EXIT.internal,
    message: `${playbook}: ${how} — ${messageOf(error)}`,
    next:
      (error instanceof CutoverError ? error.hint : undefined) ??
      (begun ? 'see what became of it: cutover status' : 'mend the cause, then run again'),
    at: new Date().toISOString(),
  });
}
