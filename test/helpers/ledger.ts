import { Clients, type Answered } from '../../src/rehearse/clients/clients.ts';
import { Ledger as Book } from '../../src/rehearse/clients/ledger.ts';
import type { TestServer } from './postgres.ts';

/** Its tables, in public. */
export const LEDGER_SCHEMA = new Book().tables();

export interface LedgerResult {
  readonly acknowledged: number;
  /** Errors that clients saw. */
  readonly errors: readonly string[];
  readonly latencies: readonly Answered[];
}

const wall = (at: number): string => new Date(performance.timeOrigin + at).toISOString();

/** Clients that write all the time and remember what was acknowledged to them, and only that. */
export class Ledger {
  readonly #book = new Book();
  readonly #clients: Clients;

  /** `perSecond` transactions of all clients together; 0 for as many as there can be. */
  constructor(url: string, { clients = 8, perSecond = 400 } = {}) {
    this.#clients = new Clients(() => url, {
      clients,
      perSecond,
      transactions: [...this.#book.writes, this.#book.read],
      reads: [this.#book.read],
    });
  }

  start(): void {
    this.#clients.start();
  }

  async stop(): Promise<LedgerResult> {
    await this.#clients.stop();
    return {
      acknowledged: this.#book.acknowledged,
      errors: this.#clients.errors.map(({ at, message }) => `${wall(at)} ${message}`),
      latencies: this.#clients.answered,
    };
  }

  get acknowledged(): number {
    return this.#book.entries;
  }

  /** Everything that is not as it was acknowledged; an empty list proves that nothing is lost or doubled. */
  problems(server: TestServer, database: string): Promise<string[]> {
    return this.#book.problems(<Row>(sql: string) => server.sql(sql, database) as Promise<Row[]>);
  }
}
