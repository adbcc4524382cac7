import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

/** An application that writes all the time, as long as it can, and remembers what the server acknowledged. */
export class WritingClient {
  readonly acknowledged: number[] = [];
  readonly #url: string;
  #next = 1;
  #over = false;
  #loop: Promise<void> | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  start(): void {
    this.#loop = this.#write();
  }

  /** Waits until one more row is acknowledged; false when none is within `ms`. */
  async writes(ms: number): Promise<boolean> {
    const before = this.acknowledged.length;
    for (const deadline = Date.now() + ms; Date.now() < deadline; await sleep(10)) {
      if (this.acknowledged.length > before) return true;
    }
    return false;
  }

  async stop(): Promise<void> {
    this.#over = true;
    await this.#loop;
  }

  async #write(): Promise<void> {
    while (!this.#over) {
      const client = new Client({
        connectionString: this.#url,
        application_name: 'shop',
        connectionTimeoutMillis: 2000,
        query_timeout: 10_000,
      });
      client.on('error', () => undefined);
      try {
        await client.connect();
        while (!this.#over) {
          const id = this.#next++;
          await client.query('insert into "Writes" (id) values ($1)', [id]);
          this.acknowledged.push(id);
          await sleep(5);
        }
      } catch {
        // Closed, cut or away: what was not acknowledged may or may not be there.
        await sleep(20);
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }
}
