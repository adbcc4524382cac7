import { setTimeout as sleep } from 'node:timers/promises';
import type { Reader, SequenceState } from '../../../core/database/catalog.ts';
import { codeOf, MovedError } from '../../../core/errors.ts';
import { isAway } from '../../../core/transient.ts';
import type { Connection } from '../connection.ts';
import type { Lane } from './lane.ts';
import { takeMoment, type Moment } from './moment.ts';
import { createReader, prepareReaderSession } from './reader.ts';

const SILENCE_MS = 2000;
/** A server that restarts is there again by then. */
const AWAY_MS = 20_000;
const AGAIN_MS = 500;
/** What the server says of a snapshot whose holder is gone: before 16, and since then. */
const GONE = ['22023', '42704'];

/** A database as it was at one moment, for as long as it is wanted, over several connections. */
export class Snapshot {
  readonly #connect: () => Promise<Connection>;
  #holder: Connection;
  readonly #lanes: Connection[];
  #moment: Moment = { id: '', state: undefined };
  #mending: Promise<void> | undefined;
  #ended = false;
  #sequences: () => Promise<SequenceState[]> = () => Promise.resolve([]);

  private constructor(connect: () => Promise<Connection>, holder: Connection, lanes: readonly Connection[]) {
    this.#connect = connect;
    this.#holder = holder;
    this.#lanes = [...lanes];
  }

  static async open(connect: () => Promise<Connection>, lanes: number): Promise<Snapshot> {
    const opened: Connection[] = [];
    try {
      for (let count = 0; count <= lanes; count += 1) opened.push(await prepared(connect));
    } catch (error) {
      await Promise.all(opened.map((connection) => connection.end()));
      throw error;
    }
    return new Snapshot(connect, opened[0]!, opened.slice(1));
  }

  /** The moment is now; repeatable. */
  async take(): Promise<void> {
    // Of the attempt before this one; without one it is a warning.
    await this.#holder.query('ROLLBACK');
    this.#moment = await takeMoment(this.#holder);
    // No snapshot holds these. Whoever may not read them need not have wanted to.
    const reading = createReader([this.#lanes[0]!.client]).sequences();
    const [sequences] = await Promise.allSettled([reading]);
    this.#sequences = () =>
      sequences.status === 'fulfilled'
        ? Promise.resolve(sequences.value)
        : Promise.reject(sequences.reason as Error);
  }

  /** Large tables are read in parts of so many bytes. */
  reader(partBytes?: number): Reader {
    const clients = this.#lanes.map(({ client }) => client);
    const mend = (lane: Lane, error: unknown): Promise<boolean> => this.#mend(lane, error);
    return { ...createReader(clients, this.#moment.id, partBytes, mend), sequences: this.#sequences };
  }

  /** Whether what failed can be read once more, of the very same state. Throws MovedError when that state is gone. */
  async #mend(lane: Lane, error: unknown): Promise<boolean> {
    if (!isAway(error) && !GONE.includes(codeOf(error) ?? '')) return false;
    const [holder, own] = [this.#holder, this.#lanes.find(({ client }) => client === lane.client)];
    if (this.#ended || !own) return false;
    this.#mending ??= this.#hold().finally(() => (this.#mending = undefined));
    await this.#mending;
    const lost = own.lost || isAway(error);
    // It was neither: the error is about something else.
    if (!lost && holder === this.#holder && lane.snapshot === this.#moment.id) return false;
    if (lost) {
      const fresh = await this.#again();
      this.#lanes[this.#lanes.indexOf(own)] = fresh;
      await own.end();
      lane.renew(fresh.client);
    }
    lane.snapshot = this.#moment.id;
    return true;
  }

  /** Makes sure that the moment is held, by another connection if it has to be. */
  async #hold(): Promise<void> {
    const held = await this.#holder.query('select').then(
      () => true,
      () => false,
    );
    if (held) return;
    const lost = this.#holder;
    this.#holder = await this.#again();
    await lost.end();
    const moment = await takeMoment(this.#holder);
    if (moment.state === undefined || moment.state !== this.#moment.state)
      throw new MovedError(
        'the connection that held the state of a database was lost, and it cannot be shown that nothing was written since',
        { hint: 'nothing was touched; try again' },
      );
    this.#moment = moment;
  }

  /** Another connection; a server that is away for a moment is waited for. */
  async #again(): Promise<Connection> {
    for (const deadline = performance.now() + AWAY_MS; ; await sleep(AGAIN_MS)) {
      try {
        const connection = await prepared(this.#connect);
        if (!this.#ended) return connection;
        await connection.end();
        throw new Error('nobody reads any more');
      } catch (error) {
        if (this.#ended || !isAway(error) || performance.now() > deadline) throw error;
      }
    }
  }

  /** Whatever is still being read is ended: the server would go on with it for nobody. */
  async end(): Promise<void> {
    this.#ended = true;
    const pids = this.#lanes.map(({ pid }) => pid);
    // A server that says nothing any more does not keep the tool from ending; nor does one that is gone, where nothing is read.
    this.#holder.limit = SILENCE_MS;
    await this.#holder
      .query('select pg_cancel_backend(pid) from unnest($1::int[]) pid', [pids])
      .catch(() => undefined);
    await Promise.all([this.#holder, ...this.#lanes].map((connection) => connection.end()));
  }
}

async function prepared(connect: () => Promise<Connection>): Promise<Connection> {
  const connection = await connect();
  try {
    await prepareReaderSession(connection.client);
    return connection;
  } catch (error) {
    await connection.end();
    throw error;
  }
}
