import { setTimeout as sleep } from 'node:timers/promises';
import type { SequenceState } from '../../../../core/catalog.ts';
import { codeOf, StepError } from '../../../../core/errors.ts';
import type { FollowedTable, SamePoint } from '../../../../core/live.ts';
import type { Side } from '../../../../core/side.ts';
import { quotePath } from '../../../../util/sql.ts';
import type { Connection } from '../../connection.ts';
import { createReader, prepareReaderSession } from '../../reading/reader.ts';
import { arrived, mark } from './progress.ts';
import { Sequences } from './sequences.ts';
import type { Sides } from '../../sides.ts';
import type { Subscription } from '../objects/subscription.ts';

/** Writers wait at most this long, and then go on until the next attempt. */
const HOLD_MS = 400;
const LOCK_MS = 150;
const ATTEMPTS = 40;
const PAUSE_MS = 500;

interface Quiet {
  readonly sides: Sides;
  readonly tables: readonly FollowedTable[];
  readonly subscription: Subscription;
  readonly signal: AbortSignal;
  /** Told before each attempt. */
  readonly attempt: (number: number) => void;
}

/**
 * Readers of both sides at one and the same moment: writers to blue's tables are held for the few milliseconds that
 * green needs to be level, and a snapshot is taken on either side. Then they go on, and the snapshots stay.
 */
export async function samePoint(quiet: Quiet): Promise<SamePoint> {
  const { sides, signal } = quiet;
  const blue = await Snapshot.open(sides, 'blue');
  const green = await Snapshot.open(sides, 'green');
  const end = async (): Promise<void> => {
    await blue.end();
    await green.end();
  };
  try {
    const sequences = await Sequences.between(await sides.hand('blue'), await sides.hand('green'));
    for (let number = 1; ; number += 1) {
      signal.throwIfAborted();
      quiet.attempt(number);
      const heldMs = await hold(quiet, async (deadline) => {
        const hands = { blue: await sides.hand('blue'), green: await sides.hand('green') };
        const lsn = await mark(hands.blue, 'blue');
        if ((await arrived(hands.green, quiet.subscription, lsn, deadline)) === undefined) return false;
        await sequences.carry(hands.blue, hands.green);
        await Promise.all([blue.take(), green.take()]);
        return true;
      });
      if (heldMs !== undefined) return { blue: blue.reader(), green: green.reader(), heldMs, end };
      if (number >= ATTEMPTS) throw busy();
      await sleep(PAUSE_MS, undefined, { signal });
    }
  } catch (error) {
    await end();
    throw error;
  }
}

const busy = (): StepError =>
  new StepError(`blue never stood still for the ${HOLD_MS} ms that a comparison needs`, {
    hint: 'a long transaction or a vacuum holds one of its tables: wait for it, and run again',
  });

/** Holds writers while `work` goes on; milliseconds for which they waited, or undefined when it was not to be had. */
async function hold(
  { sides, tables }: Quiet,
  work: (deadline: number) => Promise<boolean>,
): Promise<number | undefined> {
  const holder = await sides.connect('blue');
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
    if (['55P03', '57014', '40P01'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  } finally {
    await holder.end();
  }
}

/** A side as it was at one moment, for as long as it is wanted. */
class Snapshot {
  readonly #holder: Connection;
  readonly #reading: Connection;
  #id = '';
  #sequences: SequenceState[] = [];

  private constructor(holder: Connection, reading: Connection) {
    this.#holder = holder;
    this.#reading = reading;
  }

  static async open(sides: Sides, side: Side): Promise<Snapshot> {
    const holder = await sides.connect(side);
    await prepareReaderSession(holder.client);
    const reading = await sides.connect(side);
    await prepareReaderSession(reading.client);
    return new Snapshot(holder, reading);
  }

  async take(): Promise<void> {
    // Of the attempt before this one; without one it is a warning.
    await this.#holder.query('ROLLBACK');
    const [row] = await this.#holder.query<{ id: string }>(
      'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot() AS id',
    );
    this.#id = row!.id;
    this.#sequences = await createReader([this.#reading.client]).sequences();
  }

  reader(): SamePoint['blue'] {
    const sequences = this.#sequences;
    return { ...createReader([this.#reading.client], this.#id), sequences: () => Promise.resolve(sequences) };
  }

  async end(): Promise<void> {
    await this.#holder.end();
    await this.#reading.end();
  }
}
