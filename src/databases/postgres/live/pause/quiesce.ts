import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, StepError } from '../../../../core/errors.ts';
import type { FollowedTable, SamePoint, Way } from '../../../../core/database/live.ts';
import type { Side } from '../../../../core/side.ts';
import { quotePath } from '../../../../util/sql.ts';
import { Snapshot } from '../../reading/snapshot.ts';
import { arrived, mark } from './progress.ts';
import { Sequences } from './sequences.ts';
import type { Sides } from '../../sides.ts';
import type { Subscription } from '../objects/subscription.ts';

/** Writers wait at most this long, and then go on until the next attempt. */
const HOLD_MS = 400;
const LOCK_MS = 150;
const ATTEMPTS = 40;
const PAUSE_MS = 500;
/** Readings of a side that go on at the same time. */
const LANES = 2;

interface Quiet {
  readonly sides: Sides;
  readonly way: Way;
  readonly tables: readonly FollowedTable[];
  readonly subscription: Subscription;
  readonly signal: AbortSignal;
  /** Told before each attempt. */
  readonly attempt: (number: number) => void;
}

/**
 * Readers of both sides at one and the same moment: writers to the tables of `way.from` are held for the few milliseconds that
 * the other side needs to be level, and a snapshot is taken on either side. Then they go on, and the snapshots stay.
 */
export async function samePoint(quiet: Quiet): Promise<SamePoint> {
  const { sides, way, signal } = quiet;
  const blue = await Snapshot.open(() => sides.connect('blue'), LANES);
  const green = await Snapshot.open(() => sides.connect('green'), LANES);
  const end = async (): Promise<void> => {
    await blue.end();
    await green.end();
  };
  try {
    const sequences = await Sequences.between(await sides.hand(way.from), await sides.hand(way.to));
    // What is carried over here need not be while writers wait.
    await sequences.carry(await sides.hand(way.from), await sides.hand(way.to));
    for (let number = 1; ; number += 1) {
      signal.throwIfAborted();
      quiet.attempt(number);
      const heldMs = await hold(quiet, async (deadline) => {
        const hands = { from: await sides.hand(way.from), to: await sides.hand(way.to) };
        const lsn = await mark(hands.from, way.from);
        if ((await arrived(hands.to, quiet.subscription, lsn, deadline)) === undefined) return false;
        await sequences.carry(hands.from, hands.to);
        await Promise.all([blue.take(), green.take()]);
        return true;
      });
      if (heldMs !== undefined) return { blue: blue.reader(), green: green.reader(), heldMs, end };
      if (number >= ATTEMPTS) throw busy(way.from);
      await sleep(PAUSE_MS, undefined, { signal });
    }
  } catch (error) {
    await end();
    throw error;
  }
}

const busy = (side: Side): StepError =>
  new StepError(`${side} never stood still for the ${HOLD_MS} ms that a comparison needs`, {
    hint: 'a long transaction or a vacuum holds one of its tables: wait for it, and run again',
  });

/** Holds writers while `work` goes on; milliseconds for which they waited, or undefined when it was not to be had. */
async function hold(
  { sides, way, tables }: Quiet,
  work: (deadline: number) => Promise<boolean>,
): Promise<number | undefined> {
  const holder = await sides.connect(way.from);
  try {
    const started = performance.now();
    // Their own sessions detect deadlocks after a second: by then we have given up long since. And should green say
    // nothing any more, blue's server ends what holds its writers.
    await holder.query(
      `BEGIN; SET LOCAL lock_timeout = ${LOCK_MS}; SET LOCAL statement_timeout = ${HOLD_MS};
       SET LOCAL idle_in_transaction_session_timeout = ${2 * HOLD_MS}`,
    );
    const locked = tables.map(({ path }) => `ONLY ${quotePath(path)}`).join(', ');
    if (locked !== '') await holder.query(`LOCK TABLE ${locked} IN SHARE MODE`);
    const done = await work(started + HOLD_MS);
    const held = performance.now() - started;
    await holder.query('ROLLBACK');
    return done ? held : undefined;
  } catch (error) {
    // It was not had in time, or was lost because the rest took too long: nobody has been held by it for longer.
    if (['55P03', '57014', '40P01', '25P03'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  } finally {
    await holder.end();
  }
}
