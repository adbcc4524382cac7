import type { Address } from './address.ts';
import { openMaintenance, openPatiently, type Connection } from './connection.ts';

/** The way to the server: new connections to any database, and one outside of blue and green that is kept. */
export class Access {
  readonly address: Address;
  /** Milliseconds for which a server that is just away is waited for. */
  patience: number;
  #maintenance: Promise<Connection> | undefined;

  constructor(address: Address, patience: number) {
    this.address = address;
    this.patience = patience;
  }

  connect(database: string): Promise<Connection> {
    return openPatiently(this.address, database, this.patience);
  }

  /** The connection for work on databases as a whole, opened again when it was lost. Those who ask at once get the same. */
  maintenance(): Promise<Connection> {
    const before = this.#maintenance;
    const connection = (async () => {
      const held = await before?.catch(() => undefined);
      return held && !held.lost ? held : openMaintenance(this.address, this.patience);
    })();
    this.#maintenance = connection;
    return connection;
  }

  async end(): Promise<void> {
    await (await this.#maintenance?.catch(() => undefined))?.end();
    this.#maintenance = undefined;
  }
}
