import { setTimeout as sleep } from 'node:timers/promises';
import { StepError } from '../core/errors.ts';
import type { Lag, Way } from '../core/database/live.ts';
import { commandTo } from '../core/side.ts';
import type { Step, StepContext } from '../core/step.ts';
import { formatBytes, formatDuration } from '../util/units.ts';
import type { LiveCopyOutput } from './live/copy.ts';
import { livePlan } from './live/plan.ts';

const POLL_MS = 250;
/** A change that arrives within this time says that green is level with blue. */
const LEVEL_MS = 2000;
/** Less than this may be written while one looks. */
const NEAR_BYTES = 4_000_000;
/** A worker is started anew after five seconds at the latest; nobody at work for longer, or failing twice, is no pause. */
const PATIENCE_MS = 20_000;
const FAILURES = 2;
/** Where failures are not counted: so many workers of one subscription have failed, each but the last. */
const WORKERS = 5;

/** Lets green follow blue from the point of the copy on, and waits until it has caught up. */
export const sync: Step = {
  kind: 'sync',
  async run(context) {
    const way: Way = { from: 'blue', to: 'green' };
    const { point } = context.outputOf('clone') as LiveCopyOutput;
    const begins = await context.database.live.follow(way, livePlan(context).follow, point);
    // Whatever failed has failed since; of one that is older, as in a run that was held, what failed may be mended by now.
    const ms = await catchUp(context, way, begins ? 0 : undefined);
    return { output: {}, summary: `green follows blue; a change takes ${formatDuration(ms)}` };
  },
  probe: () => Promise.resolve('absent'),
  async undo(context) {
    const any = await context.database.live.forget(livePlan(context).follow, 'blue');
    return any ? 'green follows blue no longer' : undefined;
  },
};

/**
 * Milliseconds that a change takes, once it takes no longer than a moment. Throws StepError when nobody applies them. Failures
 * count beyond those that there were `before`; unless given, those of now: what failed and was mended says nothing.
 */
export async function catchUp(context: StepContext, way: Way, before?: number): Promise<number> {
  const { live } = context.database;
  let most = 0;
  let idleSince: number | undefined;
  let known = before;
  let last: number | undefined;
  const workers = new Set<number>();
  const started = Date.now();
  for (;;) {
    context.signal.throwIfAborted();
    const lag = await live.lag(way);
    most = Math.max(most, lag.bytes);
    context.progress(most - lag.bytes, most, 'bytes', noteOf(lag, most, Date.now() - started));
    if (!lag.running) known ??= lag.failed;
    // Who is still there at the next look is none that fails at once.
    if (lag.worker !== undefined && lag.worker === last) workers.clear();
    last = lag.worker;
    if (last !== undefined) workers.add(last);
    idleSince = lag.running ? undefined : (idleSince ?? Date.now());
    const overdue = idleSince !== undefined && Date.now() - idleSince > PATIENCE_MS;
    const failing =
      (lag.failed ?? 0) - (known ?? 0) >= FAILURES || (lag.failed === 0 && workers.size > WORKERS);
    if (overdue || (!lag.running && failing) || (lag.error && lag.failed === undefined))
      throw stopped(context, way, lag);
    if (lag.running && lag.bytes < NEAR_BYTES) {
      const ms = await live.beat(way, LEVEL_MS);
      if (ms !== undefined) return ms;
    }
    await sleep(POLL_MS, undefined, { signal: context.signal }).catch(() => context.signal.throwIfAborted());
  }
}

function noteOf(lag: Lag, most: number, ms: number): string {
  if (!lag.running) return 'waiting for the apply worker';
  const done = most - lag.bytes;
  const left = done > 0 && ms > 2000 ? `, about ${formatDuration((lag.bytes / done) * ms)}` : '';
  return `${formatBytes(lag.bytes)} behind${left}`;
}

/** What is in the log of the live side stays there, whatever is done to its rows. */
const MAKE_ROOM =
  'what was written cannot be unwritten: make room for it in the previous copy (the wider type, without the constraint), which goes on by itself then';

/** What to do about a way back that stands still. A server that does not count what fails cannot pass over it either. */
export const makeRoom = ({ to }: Way, { failed }: Lag): string =>
  failed === 0
    ? MAKE_ROOM
    : `${MAKE_ROOM}; or go on without it: cutover ${commandTo(to)} --accept-data-loss --yes`;

/** Since the switch a worker fails, or has failed and is away: perhaps at a transaction that it can be told to pass over. */
export class StandsStill extends StepError {}

/** The worker finds what it cannot apply, and tries it again and again. */
export const fails = ({ running, failed }: Lag): boolean => !running && failed !== undefined;

function stopped(context: StepContext, way: Way, lag: Lag): StepError {
  const stands = context.ownershipMoved() && fails(lag);
  return new (stands && lag.failed !== 0 ? StandsStill : StepError)(
    `${way.to} does not apply the changes of ${way.from}`,
    {
      detail: lag.error ?? "the reason stands in the log of the server (the apply worker's ERROR)",
      hint: stands
        ? makeRoom(way, lag)
        : 'mend what it says, in the migrations or in the data, and run again',
    },
  );
}
