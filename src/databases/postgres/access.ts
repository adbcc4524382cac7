import type { Address } from './address.ts';
import { openMaintenance, openPatiently, type Connection } from './connection.ts';
import { KeptConnection } from './kept-connection.ts';

/** The way to the server: new connections to any database, and one outside of blue and green that is kept. */
export class Access {
  readonly address: Address;
  /** Milliseconds for which a server that is just away is waited for. */
  patience: number;
  readonly #maintenance = new KeptConnection(() => openMaintenance(this.address, this.patience));

  constructor(address: Address, patience: number) {
    this.address = address;
    this.patience = patience;
  }

  connect(database: string): Promise<Connection> {
    return openPatiently(this.address, database, this.patience);
  }

  /** The connection for work on databases as a whole. */
  maintenance(): Promise<Connection> {
    return this.#maintenance.get();
  }

  end(): Promise<void> {
    return this.#maintenance.end();
  }
}
