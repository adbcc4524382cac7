import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { TestServer } from './postgres.ts';

const ACCOUNTS = 40;
const BALANCE = 1000;
/** Keys of one client, which it alone updates and deletes. */
const KEYS = 10;

export const LEDGER_SCHEMA = `
create table entries (id text primary key, client int not null, body text);
create table accounts (id int primary key, balance bigint not null);
create table numbered (id bigint generated always as identity primary key, client int not null, tag text not null);
create table states (client int, key int, value int not null, primary key (client, key));
insert into accounts select i, ${BALANCE} from generate_series(1, ${ACCOUNTS}) i;
`;

/** What a client knows of one of its keys: a value, or that there is none; several when it did not hear the answer. */
type Known = Set<number | undefined>;

export interface LedgerResult {
  readonly acknowledged: number;
  /** Errors that clients saw. */
  readonly errors: readonly string[];
  readonly latencies: readonly { readonly at: number; readonly ms: number }[];
}

/** Clients that write all the time and remember what was acknowledged to them, and only that. */
export class Ledger {
  readonly #url: string;
  readonly #clients: number;
  readonly #pauseMs: number;
  readonly #over = new AbortController();
  readonly #entries = new Set<string>();
  /** Begun, and never answered: may be there or not. */
  readonly #unknown = new Set<string>();
  readonly #refused = new Set<string>();
  readonly #tags = new Set<string>();
  readonly #numbers = new Map<string, string>();
  readonly #states = new Map<string, Known>();
  readonly #errors: string[] = [];
  readonly #latencies: { at: number; ms: number }[] = [];
  #running: Promise<void>[] = [];

  /** `perSecond` transactions of all clients together; 0 for as many as there can be. */
  constructor(url: string, { clients = 8, perSecond = 400 } = {}) {
    this.#url = url;
    this.#clients = clients;
    this.#pauseMs = perSecond === 0 ? 0 : (1000 * clients) / perSecond;
  }

  start(): void {
    this.#running = Array.from({ length: this.#clients }, (_, client) => this.#run(client));
  }

  async stop(): Promise<LedgerResult> {
    this.#over.abort();
    await Promise.all(this.#running);
    return {
      acknowledged: this.#entries.size + this.#numbers.size,
      errors: this.#errors,
      latencies: this.#latencies,
    };
  }

  get acknowledged(): number {
    return this.#entries.size;
  }

  async #run(client: number): Promise<void> {
    let connection: Client | undefined;
    for (let round = 0; !this.#over.signal.aborted; round += 1) {
      const due = performance.now() + this.#pauseMs;
      try {
        connection ??= await this.#connect();
        await this.#transaction(connection, client, round);
      } catch (error) {
        this.#errors.push(`${new Date().toISOString()} ${(error as Error).message}`);
        await connection?.end().catch(() => undefined);
        connection = undefined;
        await sleep(50);
      }
      const rest = due - performance.now();
      if (rest > 0) await sleep(rest);
    }
    await connection?.end().catch(() => undefined);
  }

  async #connect(): Promise<Client> {
    const connection = new Client({ connectionString: this.#url, connectionTimeoutMillis: 20_000 });
    connection.on('error', () => undefined);
    await connection.connect();
    return connection;
  }

  async #transaction(connection: Client, client: number, round: number): Promise<void> {
    const kinds = [
      () => this.#insert(connection, client),
      () => this.#transfer(connection),
      () => this.#number(connection, client),
      () => this.#state(connection, client),
    ];
    const started = performance.now();
    await kinds[round % kinds.length]!();
    this.#latencies.push({ at: started, ms: performance.now() - started });
  }

  /** Runs `work` in a transaction; `doubt` is called while nobody knows how it ended. */
  async #commit(connection: Client, work: () => Promise<void>, doubt: () => void): Promise<void> {
    await connection.query('begin');
    await work();
    doubt();
    await connection.query('commit');
  }

  async #insert(connection: Client, client: number): Promise<void> {
    const id = randomBytes(12).toString('hex');
    let asked = false;
    try {
      await this.#commit(
        connection,
        async () => {
          await connection.query('insert into entries values ($1, $2, $3)', [id, client, 'x'.repeat(50)]);
        },
        () => (asked = true),
      );
      this.#entries.add(id);
    } catch (error) {
      (asked ? this.#unknown : this.#refused).add(id);
      throw error;
    }
  }

  async #transfer(connection: Client): Promise<void> {
    const [from, to] = [1, 2].map(() => 1 + Math.floor(Math.random() * ACCOUNTS)).toSorted((a, b) => a - b);
    await this.#commit(
      connection,
      async () => {
        await connection.query('update accounts set balance = balance - 1 where id = $1', [from]);
        await connection.query('update accounts set balance = balance + 1 where id = $1', [to]);
      },
      () => undefined,
    );
  }

  async #number(connection: Client, client: number): Promise<void> {
    const tag = randomBytes(8).toString('hex');
    this.#tags.add(tag);
    const { rows } = await connection.query<{ id: string }>(
      'insert into numbered (client, tag) values ($1, $2) returning id',
      [client, tag],
    );
    this.#numbers.set(rows[0]!.id, tag);
  }

  async #state(connection: Client, client: number): Promise<void> {
    const key = Math.floor(Math.random() * KEYS);
    const name = `${client} ${key}`;
    const before: Known = this.#states.get(name) ?? new Set([undefined]);
    const value = Math.random() < 0.3 ? undefined : Math.floor(Math.random() * 1_000_000);
    this.#states.set(name, new Set([...before, value]));
    await (value === undefined
      ? connection.query('delete from states where client = $1 and key = $2', [client, key])
      : connection.query(
          `insert into states values ($1, $2, $3) on conflict (client, key) do update set value = excluded.value`,
          [client, key, value],
        ));
    this.#states.set(name, new Set([value]));
  }

  /** Everything that is not as it was acknowledged; an empty list proves that nothing is lost or doubled. */
  async problems(server: TestServer, database: string): Promise<string[]> {
    const found: string[] = [];
    const ids = (await server.sql<{ id: string }>('select id from entries', database)).map(({ id }) => id);
    const there = new Set(ids);
    if (there.size !== ids.length) found.push(`${ids.length - there.size} entries are there twice`);
    const lost = [...this.#entries].filter((id) => !there.has(id));
    if (lost.length > 0) found.push(`${lost.length} acknowledged entries are lost`);
    const refused = [...this.#refused].filter((id) => there.has(id));
    if (refused.length > 0) found.push(`${refused.length} refused entries are there`);
    const strangers = ids.filter((id) => !this.#entries.has(id) && !this.#unknown.has(id));
    if (strangers.length > 0) found.push(`${strangers.length} entries nobody wrote`);
    const [{ sum } = { sum: '' }] = await server.sql('select sum(balance)::text from accounts', database);
    if (sum !== String(ACCOUNTS * BALANCE)) found.push(`the sum is ${sum}`);
    const numbered = await server.sql<{ id: string; tag: string }>('select id, tag from numbered', database);
    const tags = new Map(numbered.map(({ id, tag }) => [tag, id]));
    if (tags.size !== numbered.length) found.push('numbered rows are there twice');
    const gone = [...this.#numbers].filter(([id, tag]) => tags.get(tag) !== id);
    if (gone.length > 0) found.push(`${gone.length} numbered rows are lost, or have another number`);
    if ([...tags.keys()].some((tag) => !this.#tags.has(tag))) found.push('numbered rows nobody wrote');
    const [behind] = await server.sql<{ behind: boolean }>(
      `select coalesce(max(id), 0) > (select last_value from numbered_id_seq) as behind from numbered`,
      database,
    );
    if (behind!.behind) found.push('the sequence is behind');
    const states = await server.sql<{ client: number; key: number; value: number }>(
      'select * from states',
      database,
    );
    const values = new Map(states.map(({ client, key, value }) => [`${client} ${key}`, value]));
    const wrong = [...this.#states].filter(([name, known]) => !known.has(values.get(name)));
    if (wrong.length > 0)
      found.push(`${wrong.length} keys have a value that was not the last one acknowledged`);
    return found;
  }
}
