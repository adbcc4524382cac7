import type { Reader } from '../../core/catalog.ts';
import type { Side } from '../../core/side.ts';
import type { Connection } from './connection.ts';
import { createReader, prepareReaderSession } from './reader.ts';

interface OpenReader {
  readonly connection: Connection;
  readonly reader: Reader;
}

/** One reading connection a side, opened before the side is closed and kept: afterwards nobody gets in. */
export class Readers {
  readonly #open = new Map<Side, OpenReader>();

  /** The reader that is there and alive. */
  get(side: Side): OpenReader | undefined {
    const held = this.#open.get(side);
    return held && !held.connection.lost ? held : undefined;
  }

  async replace(side: Side, connection: Connection): Promise<OpenReader> {
    await this.release(side);
    await prepareReaderSession(connection.client);
    const opened = { connection, reader: createReader(connection.client) };
    this.#open.set(side, opened);
    return opened;
  }

  pids(): number[] {
    return [...this.#open.values()].map(({ connection }) => connection.pid);
  }

  async release(side: Side): Promise<void> {
    await this.#open.get(side)?.connection.end();
    this.#open.delete(side);
  }

  async releaseAll(): Promise<void> {
    await this.release('blue');
    await this.release('green');
  }
}
