import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { messageOf } from '../../core/errors.ts';
import type { Transaction } from './ledger.ts';

/** A transaction that came through: when it was due, by `performance.now()`, and how long after that it was answered. */
export interface Answered {
  readonly at: number;
  readonly ms: number;
}

export interface ClientError {
  /** When it was begun, by `performance.now()`. */
  readonly at: number;
  readonly message: string;
}

export interface ClientsOptions {
  /** Sessions at the same time. */
  readonly clients: number;
  /** Transactions of all clients together; 0 for as many as there can be. */
  readonly perSecond: number;
  /** What they do, one after the other and over again. */
  readonly transactions: readonly Transaction[];
  /** The same while they only read. */
  readonly reads: readonly Transaction[];
}

const CONNECT_MS = 20_000;
/** Before a client that was turned away tries again. */
const AGAIN_MS = 50;

/**
 * Clients that work all the time, each on a connection of its own. A transaction is due when it is due, whether the one
 * before was answered or not: its time counts from then, so that nothing hides how long somebody waited.
 */
export class Clients {
  readonly answered: Answered[] = [];
  readonly errors: ClientError[] = [];
  /** They read, and write nothing. */
  reading = false;
  readonly #address: () => string | Promise<string>;
  readonly #clients: number;
  readonly #every: number;
  readonly #transactions: readonly Transaction[];
  readonly #reads: readonly Transaction[];
  readonly #over = new AbortController();
  #running: Promise<void>[] = [];

  /** `address` is asked for at every connecting. */
  constructor(address: () => string | Promise<string>, options: ClientsOptions) {
    this.#address = address;
    this.#clients = options.clients;
    this.#every = options.perSecond === 0 ? 0 : (1000 * options.clients) / options.perSecond;
    this.#transactions = options.transactions;
    this.#reads = options.reads;
  }

  start(): void {
    this.#running = Array.from({ length: this.#clients }, (_, client) => this.#run(client));
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#running);
  }

  async #run(client: number): Promise<void> {
    let connection: Client | undefined;
    // Not all of them at once.
    let due = performance.now() + (this.#every * client) / this.#clients;
    await this.#until(due);
    for (let round = client; !this.#over.signal.aborted; round += 1) {
      const began = performance.now();
      try {
        connection ??= await this.#connect();
        const all = this.reading ? this.#reads : this.#transactions;
        await all[round % all.length]!(connection, client);
        this.answered.push({ at: due, ms: performance.now() - due });
        due = this.#every === 0 ? performance.now() : due + this.#every;
      } catch (error) {
        this.errors.push({ at: began, message: messageOf(error) });
        // Why it broke stands above; that it cannot be closed in order says nothing new.
        await connection?.end().catch(() => undefined);
        connection = undefined;
        await sleep(AGAIN_MS);
        due = performance.now();
      }
      await this.#until(due);
    }
    await connection?.end().catch(() => undefined);
  }

  async #until(due: number): Promise<void> {
    const rest = due - performance.now();
    if (rest > 0) await sleep(rest, undefined, { signal: this.#over.signal }).catch(() => undefined);
  }

  async #connect(): Promise<Client> {
    const connection = new Client({
      connectionString: await this.#address(),
      connectionTimeoutMillis: CONNECT_MS,
    });
    connection.on('error', () => undefined);
    await connection.connect();
    return connection;
  }
}
