import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, RefusedError, type ExitCode } from '../core/errors.ts';
import type { JournalStore } from '../journal/journal.ts';
import type { Surroundings } from '../run/open.ts';
import { letGo } from '../run/recover/guard.ts';
import { executionOf, reopen } from '../run/reopen.ts';
import { LineScreen } from '../run/screen/lines.ts';
import { SAFE } from './running/guarding.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { chooseRun, surroundingsOf, withStore } from './shared/surroundings.ts';

const PHASES = ['running', 'unwinding', 'stuck', 'completed', 'swapping back', 'swapped back'] as const;
/** A server that is away may come back: PgBouncer itself lets clients wait for two minutes. */
const PATIENCE_MS = 100_000;
const RETRY_MS = 1000;
/** Who dies closes its pipes, and still looks alive for a moment, which is long on a busy machine. */
const DYING_MS = 15_000;
const DYING_RETRY_MS = 50;

/** Waits until whoever started it says that all is well, or is gone; then clients that are held go on. */
export async function run(
  [named]: readonly (string | undefined)[],
  options: Options,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  io.out('ready');
  let said = '';
  for await (const chunk of process.stdin) said += String(chunk);
  if (said.includes(SAFE)) return EXIT.done;
  return withStore(options, async (store) => {
    const { run: id } = await chooseRun(store, named);
    const began = Date.now();
    const events = (await store.read(id)).length;
    for (;;) {
      try {
        await attempt(store, id, around);
        return EXIT.done;
      } catch (error) {
        const waited = Date.now() - began;
        // With a cause, a server could not be asked.
        const refused = error instanceof RefusedError && error.cause === undefined;
        // Somebody who goes on with the run writes that down, and lets clients go on.
        if (refused && (waited > DYING_MS || (await store.read(id)).length > events)) return EXIT.done;
        if (waited > PATIENCE_MS) throw error;
        await sleep(refused ? DYING_RETRY_MS : RETRY_MS);
      }
    }
  });
}

async function attempt(store: JournalStore, run: string, around: Surroundings): Promise<void> {
  const reopened = await reopen(store, run, PHASES, around);
  try {
    await letGo(
      reopened,
      executionOf(reopened, new LineScreen(() => undefined), AbortSignal.timeout(60_000)),
    );
  } finally {
    await reopened.end();
  }
}
