import { Client, type CustomTypesConfig } from 'pg';
import { messageOf, StepError } from '../../core/errors.ts';
import { destroyClient, endClient } from '../../util/pg-client.ts';

type Row = Readonly<Record<string, string | null>>;

const CONNECT_MS = 5000;

const AS_TEXT = { getTypeParser: () => (value: unknown) => value } as unknown as CustomTypesConfig;

/** PgBouncer's admin console: SQL-like words, by the simple protocol, one at a time. */
export class Console {
  readonly #client: Client;
  #lost = false;

  private constructor(client: Client) {
    this.#client = client;
    client.on('error', () => (this.#lost = true));
    client.on('end', () => (this.#lost = true));
  }

  static async open(url: string): Promise<Console> {
    const client = new Client({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_MS,
      application_name: 'cutover',
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return new Console(client);
    } catch (cause) {
      await endClient(client);
      throw new StepError(`PgBouncer's admin console cannot be reached: ${messageOf(cause)}`, {
        cause,
        hint: 'check its connection string (database pgbouncer), and that the user is one of admin_users',
      });
    }
  }

  get lost(): boolean {
    return this.#lost;
  }

  async ask(words: string): Promise<Row[]> {
    // Numbers among them would be compared with text.
    const { rows } = await this.#client.query<Row>({ text: words, types: AS_TEXT });
    return rows;
  }

  /** Lets go at once: what it waits for may never come. */
  drop(): void {
    this.#lost = true;
    destroyClient(this.#client);
  }

  async end(): Promise<void> {
    await endClient(this.#client);
  }
}
