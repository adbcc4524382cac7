import type { Connection } from './connection.ts';

/** A connection that is kept, and opened again when it was lost. Those who ask at once get the same one. */
export class KeptConnection {
  readonly #open: () => Promise<Connection>;
  #held: Promise<Connection> | undefined;

  constructor(open: () => Promise<Connection>) {
    this.#open = open;
  }

  get(): Promise<Connection> {
    const before = this.#held;
    const connection = (async () => {
      // One that could not be opened was told to whoever asked for it; this is another try.
      const held = await before?.catch(() => undefined);
      return held && !held.lost ? held : this.#open();
    })();
    this.#held = connection;
    return connection;
  }

  async end(): Promise<void> {
    // One that could not be opened has nothing to end.
    await (await this.#held?.catch(() => undefined))?.end();
    this.#held = undefined;
  }
}
