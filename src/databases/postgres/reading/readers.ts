import type { Reader } from '../../../core/database/catalog.ts';
import type { Side } from '../../../core/side.ts';
import type { Connection } from '../connection.ts';
import type { Sides } from '../sides.ts';
import { createReader, prepareReaderSession } from './reader.ts';

interface OpenReader {
  readonly connection: Connection;
  readonly reader: Reader;
}

/** One reading connection a side, opened before the side is closed and kept: afterwards nobody gets in. */
export class Readers {
  readonly #open = new Map<Side, OpenReader>();
  readonly #opening = new Map<Side, Promise<OpenReader>>();

  /** The reader that is there and alive. */
  get(side: Side): OpenReader | undefined {
    const held = this.#open.get(side);
    return held && !held.connection.lost ? held : undefined;
  }

  /** The reader that is there, or a new one on what `connect` gives; those who ask at the same time get the same one. */
  async obtain(side: Side, connect: () => Promise<Connection>): Promise<OpenReader> {
    const held = this.get(side) ?? this.#opening.get(side);
    if (held) return held;
    const opening = this.#replace(side, connect).finally(() => this.#opening.delete(side));
    this.#opening.set(side, opening);
    return opening;
  }

  /** The reader of a side, on a connection of its own. */
  of(side: Side, sides: Sides): Promise<OpenReader> {
    return this.obtain(side, () => sides.connect(side));
  }

  async #replace(side: Side, connect: () => Promise<Connection>): Promise<OpenReader> {
    await this.release(side);
    const connection = await connect();
    await prepareReaderSession(connection.client);
    const opened = { connection, reader: createReader([connection.client]) };
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
