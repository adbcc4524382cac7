import type { Reader, SequenceState } from '../../../core/catalog.ts';
import type { Connection } from '../connection.ts';
import { createReader, prepareReaderSession } from './reader.ts';

const SILENCE_MS = 2000;

/** A database as it was at one moment, for as long as it is wanted, over several connections. */
export class Snapshot {
  readonly #holder: Connection;
  readonly #lanes: readonly Connection[];
  #id = '';
  #sequences: () => Promise<SequenceState[]> = () => Promise.resolve([]);

  private constructor(holder: Connection, lanes: readonly Connection[]) {
    this.#holder = holder;
    this.#lanes = lanes;
  }

  static async open(connect: () => Promise<Connection>, lanes: number): Promise<Snapshot> {
    const opened: Connection[] = [];
    try {
      for (let count = 0; count <= lanes; count += 1) {
        const connection = await connect();
        opened.push(connection);
        await prepareReaderSession(connection.client);
      }
    } catch (error) {
      await Promise.all(opened.map((connection) => connection.end()));
      throw error;
    }
    return new Snapshot(opened[0]!, opened.slice(1));
  }

  /** The moment is now; repeatable. */
  async take(): Promise<void> {
    // Of the attempt before this one; without one it is a warning.
    await this.#holder.query('ROLLBACK');
    const [row] = await this.#holder.query<{ id: string }>(
      'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot() AS id',
    );
    this.#id = row!.id;
    // No snapshot holds these. Whoever may not read them need not have wanted to.
    const reading = createReader([this.#lanes[0]!.client]).sequences();
    const [sequences] = await Promise.allSettled([reading]);
    this.#sequences = () =>
      sequences.status === 'fulfilled'
        ? Promise.resolve(sequences.value)
        : Promise.reject(sequences.reason as Error);
  }

  reader(): Reader {
    const clients = this.#lanes.map(({ client }) => client);
    return { ...createReader(clients, this.#id), sequences: this.#sequences };
  }

  /** Whatever is still being read is ended: the server would go on with it for nobody. */
  async end(): Promise<void> {
    const pids = this.#lanes.map(({ pid }) => pid);
    // A server that says nothing any more does not keep the tool from ending; nor does one that is gone, where nothing is read.
    this.#holder.limit = SILENCE_MS;
    await this.#holder
      .query('select pg_cancel_backend(pid) from unnest($1::int[]) pid', [pids])
      .catch(() => undefined);
    await Promise.all([this.#holder, ...this.#lanes].map((connection) => connection.end()));
  }
}
