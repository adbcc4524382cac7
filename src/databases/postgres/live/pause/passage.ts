import { StepError } from '../../../../core/errors.ts';
import type { Passage, Way } from '../../../../core/database/live.ts';
import type { LongTransactions } from '../../../../core/playbook.ts';
import type { Side } from '../../../../core/side.ts';
import { quoteIdentifier } from '../../../../util/sql.ts';
import { openMaintenance, type Connection } from '../../connection.ts';
import type { Found } from '../../copy/copy.ts';
import type { Sides } from '../../sides.ts';
import { readDdl } from '../objects/ddl.ts';
import { wayName } from '../objects/names.ts';
import { arrived, mark } from './progress.ts';
import { Sequences } from './sequences.ts';
import { shut, warmUp } from './shut.ts';
import { unfenceTables } from '../objects/standby.ts';
import { findSubscription, startFrom, type Subscription } from '../objects/subscription.ts';

/** A server that has said nothing for this long beyond the pause is not waited for any more. */
const SILENCE_MS = 500;
/** A lock on the database's own row is tried for this long, and then once more. */
const LOCK_MS = 100;

interface Prepared {
  readonly sides: Sides;
  readonly run: string;
  readonly way: Way;
  /** Position of `from`: no DDL may be later. */
  readonly since: string;
  readonly long: LongTransactions;
}

/** In `from`, in `to`, and one more in each for what is done at the same time. */
type Hands = Readonly<Record<'from' | 'to' | 'second' | 'third', Connection>>;

/** A switch while clients write: what is done in the pause, with everything at hand that it takes. */
export class LivePassage implements Passage {
  readonly #prepared: Prepared;
  readonly #hands: Hands;
  /** Outside of both databases, for the pause alone. */
  readonly #admins: Readonly<Record<Side, Connection>>;
  readonly #found: Readonly<Record<Side, Found>>;
  readonly #sequences: Sequences;
  /** What `to` follows `from` by, and what `from` will follow `to` by. */
  readonly #forward: Subscription;
  readonly #back: Subscription;

  private constructor(
    prepared: Prepared,
    hands: Hands,
    admins: Readonly<Record<Side, Connection>>,
    found: Readonly<Record<Side, Found>>,
    sequences: Sequences,
    forward: Subscription,
    back: Subscription,
  ) {
    this.#prepared = prepared;
    this.#hands = hands;
    this.#admins = admins;
    this.#found = found;
    this.#sequences = sequences;
    this.#forward = forward;
    this.#back = back;
  }

  /** Expects both ways made. Fences `to` against everybody but its worker. */
  static async prepare(prepared: Prepared): Promise<LivePassage> {
    const { sides, run, way } = prepared;
    const { from, to } = way;
    // Connections are opened here: later nobody gets in. What they will execute is executed once.
    const hands: Hands = {
      from: await sides.hand(from),
      to: await sides.hand(to),
      second: await sides.secondHand(to),
      third: await sides.secondHand(from),
    };
    const [source, drain] = [hands.from, hands.to];
    const sequences = await Sequences.between(source, drain);
    await sequences.carry(hands.third, hands.second);
    const forward = await findSubscription(drain, wayName(run, way));
    const back = await findSubscription(source, wayName(run, { to: from }));
    if (!forward || !back)
      throw new StepError('a subscription of this run is gone; has somebody dropped it?');
    const admins = { [from]: await pauseAdmin(sides, from), [to]: await pauseAdmin(sides, to) };
    const found = { blue: await sides.found('blue'), green: await sides.found('green') };
    const passage = new LivePassage(
      prepared,
      hands,
      admins as Record<Side, Connection>,
      found,
      sequences,
      forward,
      back,
    );
    try {
      await passage.#refuseDdl(hands.third);
      await warmUp({ admin: passage.#admins[from], found: found[from] });
      await passage.#close(to, performance.now() + 5000, 'end');
      await unfenceTables(drain);
      return passage;
    } catch (error) {
      await passage.end();
      throw error;
    }
  }

  async fence(deadline: number): Promise<void> {
    const { way, long } = this.#prepared;
    await within(deadline, [this.#admins[way.from]], () => this.#close(way.from, deadline, long.then));
  }

  mark(deadline: number): Promise<string> {
    const { from } = this.#hands;
    return within(deadline, [from], () => mark(from, this.#prepared.way.from));
  }

  async drain(position: string, deadline: number): Promise<void> {
    await within(deadline, Object.values(this.#hands), () => this.#drain(position, deadline));
  }

  async #drain(position: string, deadline: number): Promise<void> {
    const { from, to, second, third } = this.#hands;
    // Nobody writes any more: sequences and the schema are what they will be.
    const arriving = async (): Promise<void> => {
      const here = await arrived(to, this.#forward, position, deadline);
      if (here === undefined) throw new StepError('the last changes did not arrive within the pause');
      // Nothing of this is to come back: the way back begins behind it. Sequences are not replicated.
      await startFrom(from, this.#back, here);
    };
    await Promise.all([arriving(), this.#sequences.carry(third, second), this.#refuseDdl(third)]);
  }

  /** Whatever adds, drops or changes a column or a table writes here; TRUNCATE and VACUUM do not. */
  async #refuseDdl(from: Connection): Promise<void> {
    const changed = await from.prepared<{ name: string }>(
      `select distinct c.oid::regclass::text as name from pg_attribute a join pg_class c on c.oid = a.attrelid
       where age(a.xmin) <= age(($1::text::xid8)::xid) and a.attnum > 0 and c.oid >= 16384 and c.relpersistence <> 't' and c.relkind in ('r', 'p', 'f', 'v', 'm')
       limit 5`,
      [this.#prepared.since],
    );
    if (changed.length === 0) return;
    const changes = await readDdl(from);
    throw new StepError(`the schema was changed meanwhile: ${changed.map(({ name }) => name).join(', ')}`, {
      detail: changes.length === 0 ? undefined : changes.map((line) => `  ${line}`).join('\n'),
      hint: 'replication does not carry such changes over: run again when nobody changes the schema',
    });
  }

  async leave(): Promise<void> {
    const { sides, run, way } = this.#prepared;
    const forward = quoteIdentifier(wayName(run, way));
    await (await sides.hand(way.to)).query(`ALTER SUBSCRIPTION ${forward} DISABLE`);
    await sides.letGo('blue');
    await sides.letGo('green');
  }

  async end(): Promise<void> {
    await this.#admins.blue.end();
    await this.#admins.green.end();
  }

  async #close(side: Side, deadline: number, then: LongTransactions['then']): Promise<void> {
    await shut({
      admin: this.#admins[side],
      found: this.#found[side],
      own: this.#prepared.sides.pids(),
      then,
      deadline,
    });
  }
}

/** A server that says nothing any more must not hold clients for longer than any other: its connections are let go. */
async function within<T>(
  deadline: number,
  connections: readonly Connection[],
  work: () => Promise<T>,
): Promise<T> {
  const limits = connections.map(({ limit }) => limit);
  for (const connection of connections)
    connection.limit = Math.max(0, deadline - performance.now()) + SILENCE_MS;
  try {
    return await work();
  } finally {
    for (const [index, connection] of connections.entries()) connection.limit = limits[index];
  }
}

async function pauseAdmin(sides: Sides, side: Side): Promise<Connection> {
  const { address, patience } = sides.server(side);
  const admin = await openMaintenance(address, patience);
  // The fence is durable with the marker behind it in the log, and before that a crash takes back both.
  await admin.query(`set lock_timeout = ${LOCK_MS}; set synchronous_commit = off`);
  return admin;
}
