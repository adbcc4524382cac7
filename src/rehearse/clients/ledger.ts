import { randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { quoteIdentifier } from '../../util/sql.ts';

/** Where it is in a rehearsal: the application's own tables stay as they are. */
export const LEDGER_SCHEMA = 'cutover_rehearsal';

const ACCOUNTS = 40;
const BALANCE = 1000;
/** Keys of one client, which it alone updates and deletes. */
const KEYS = 10;
/** Entries of which one is read again. */
const REMEMBERED = 1000;

/** What a client knows of one of its keys: a value, or that there is none; several when it did not hear the answer. */
type Known = Set<number | undefined>;

type Ask = <Row>(sql: string) => Promise<Row[]>;

/** One transaction of a client. */
export type Transaction = (connection: Client, client: number) => Promise<void>;

/**
 * Writes that are remembered when they were acknowledged, and only then, so that afterwards every one can be asked for:
 * plain rows, transfers whose sum must stay, numbers from an identity column, and keys that are updated and deleted.
 */
export class Ledger {
  readonly #in: string;
  readonly #entries = new Set<string>();
  /** Begun, and never answered: may be there or not. */
  readonly #unknown = new Set<string>();
  readonly #refused = new Set<string>();
  readonly #tags = new Set<string>();
  readonly #numbers = new Map<string, string>();
  readonly #states = new Map<string, Known>();
  readonly #recent: string[] = [];
  #unread = 0;

  constructor(schema = 'public') {
    this.#in = `${quoteIdentifier(schema)}.`;
  }

  /** SQL that makes its tables in a schema that is there. */
  tables(): string {
    return `
create table ${this.#in}entries (id text primary key, client int not null, body text);
create table ${this.#in}accounts (id int primary key, balance bigint not null);
create table ${this.#in}numbered (id bigint generated always as identity primary key, client int not null, tag text not null);
create table ${this.#in}states (client int, key int, value int not null, primary key (client, key));
insert into ${this.#in}accounts select i, ${BALANCE} from generate_series(1, ${ACCOUNTS}) i;
`;
  }

  /** Plain rows that were acknowledged. */
  get entries(): number {
    return this.#entries.size;
  }

  /** Rows that were acknowledged. */
  get acknowledged(): number {
    return this.#entries.size + this.#numbers.size;
  }

  readonly transfer: Transaction = (connection) => this.#transfer(connection);

  readonly writes: readonly Transaction[] = [
    (connection, client) => this.#insert(connection, client),
    this.transfer,
    (connection, client) => this.#number(connection, client),
    (connection, client) => this.#state(connection, client),
  ];

  /** Reads a row that was acknowledged a moment ago: it must be there, wherever clients are led. */
  readonly read: Transaction = async (connection) => {
    const id = this.#recent[Math.floor(Math.random() * this.#recent.length)];
    const { rows } = await connection.query(`select 1 from ${this.#in}entries where id = $1`, [id ?? '']);
    if (id !== undefined && rows.length === 0) this.#unread += 1;
  };

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
          await connection.query(`insert into ${this.#in}entries values ($1, $2, $3)`, [
            id,
            client,
            'x'.repeat(50),
          ]);
        },
        () => (asked = true),
      );
      this.#entries.add(id);
      this.#recent[this.#entries.size % REMEMBERED] = id;
    } catch (error) {
      (asked ? this.#unknown : this.#refused).add(id);
      throw error;
    }
  }

  async #transfer(connection: Client): Promise<void> {
    const [from, to] = [1, 2].map(() => 1 + Math.floor(Math.random() * ACCOUNTS)).toSorted((a, b) => a - b);
    const update = `update ${this.#in}accounts set balance = balance`;
    await this.#commit(
      connection,
      async () => {
        await connection.query(`${update} - 1 where id = $1`, [from]);
        await connection.query(`${update} + 1 where id = $1`, [to]);
      },
      () => undefined,
    );
  }

  async #number(connection: Client, client: number): Promise<void> {
    const tag = randomBytes(8).toString('hex');
    this.#tags.add(tag);
    const { rows } = await connection.query<{ id: string }>(
      `insert into ${this.#in}numbered (client, tag) values ($1, $2) returning id`,
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
      ? connection.query(`delete from ${this.#in}states where client = $1 and key = $2`, [client, key])
      : connection.query(
          `insert into ${this.#in}states values ($1, $2, $3) on conflict (client, key) do update set value = excluded.value`,
          [client, key, value],
        ));
    this.#states.set(name, new Set([value]));
  }

  /** Everything that is not as it was acknowledged; an empty list proves that nothing is lost or doubled. */
  async problems(ask: Ask): Promise<string[]> {
    const found = [...(await this.#entryProblems(ask)), ...(await this.#numberProblems(ask))];
    if (this.#unread > 0)
      found.push(`${this.#unread} acknowledged entries were not there when they were read`);
    const [sums] = await ask<{ sum: string }>(`select sum(balance)::text from ${this.#in}accounts`);
    if (sums?.sum !== String(ACCOUNTS * BALANCE)) found.push(`the sum is ${sums?.sum}`);
    const states = await ask<{ client: number; key: number; value: number }>(
      `select * from ${this.#in}states`,
    );
    const values = new Map(states.map(({ client, key, value }) => [`${client} ${key}`, value]));
    const wrong = [...this.#states].filter(([name, known]) => !known.has(values.get(name)));
    if (wrong.length > 0)
      found.push(`${wrong.length} keys have a value that was not the last one acknowledged`);
    return found;
  }

  async #entryProblems(ask: Ask): Promise<string[]> {
    const found: string[] = [];
    const ids = (await ask<{ id: string }>(`select id from ${this.#in}entries`)).map(({ id }) => id);
    const there = new Set(ids);
    if (there.size !== ids.length) found.push(`${ids.length - there.size} entries are there twice`);
    const lost = [...this.#entries].filter((id) => !there.has(id));
    if (lost.length > 0) found.push(`${lost.length} acknowledged entries are lost`);
    const refused = [...this.#refused].filter((id) => there.has(id));
    if (refused.length > 0) found.push(`${refused.length} refused entries are there`);
    const strangers = ids.filter((id) => !this.#entries.has(id) && !this.#unknown.has(id));
    if (strangers.length > 0) found.push(`${strangers.length} entries nobody wrote`);
    return found;
  }

  async #numberProblems(ask: Ask): Promise<string[]> {
    const found: string[] = [];
    const numbered = await ask<{ id: string; tag: string }>(`select id, tag from ${this.#in}numbered`);
    const tags = new Map(numbered.map(({ id, tag }) => [tag, id]));
    if (tags.size !== numbered.length) found.push('numbered rows are there twice');
    const gone = [...this.#numbers].filter(([id, tag]) => tags.get(tag) !== id);
    if (gone.length > 0) found.push(`${gone.length} numbered rows are lost, or have another number`);
    if ([...tags.keys()].some((tag) => !this.#tags.has(tag))) found.push('numbered rows nobody wrote');
    const [behind] = await ask<{ behind: boolean }>(
      `select coalesce(max(id), 0) > (select last_value from ${this.#in}numbered_id_seq) as behind
       from ${this.#in}numbered`,
    );
    if (behind?.behind) found.push('the sequence is behind');
    return found;
  }
}
