import type pg from 'pg';
import type { Row } from '../../../core/database/catalog.ts';
import { isServerError } from '../../../core/errors.ts';
import { quoteLiteral } from '../../../util/sql.ts';
import type { Ask } from '../catalog/catalog.ts';
import { lostError } from '../connection.ts';

/** Values as the server writes them: JavaScript's numbers and dates would round. */
const TEXT = { getTypeParser: () => (value: unknown) => value } as unknown as pg.CustomTypesConfig;

async function heard<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (isServerError(error) || !(error instanceof Error)) throw error;
    throw lostError(error);
  }
}

/** One connection of a reader. */
export class Lane {
  #client: pg.Client;
  /** Of an exported snapshot, whose state is read. */
  snapshot: string | undefined;
  /** A statement by itself, outside of every transaction. */
  readonly ask: Ask;
  deadline: number | undefined;
  #limited = false;

  constructor(client: pg.Client, snapshot: string | undefined) {
    this.#client = client;
    this.snapshot = snapshot;
    this.ask = async (sql) => (await heard(this.#client.query({ text: sql, types: TEXT }))).rows as never;
  }

  get client(): pg.Client {
    return this.#client;
  }

  /** Goes on over another connection: the one that it had was lost. */
  renew(client: pg.Client): void {
    this.#client = client;
    this.#limited = false;
  }

  /** Statements that see one state each, or that of the snapshot. */
  async reading<T>(work: (ask: Ask) => Promise<T>): Promise<T> {
    if (this.snapshot !== undefined) return this.within('repeatable read', work);
    await this.#limit();
    return work(this.ask);
  }

  /** What is left of the time, as a limit of the session's. */
  async #limit(): Promise<void> {
    if (this.deadline === undefined && !this.#limited) return;
    const left = this.deadline === undefined ? 0 : Math.max(1, Math.ceil(this.deadline - performance.now()));
    await heard(this.#client.query(`set statement_timeout = ${left}`));
    this.#limited = this.deadline !== undefined;
  }

  /** Without workers of the server's own: with them it would read all of a table for each range of its blocks. */
  alone<T>(work: (ask: Ask) => Promise<T>): Promise<T> {
    return this.within('read committed', async (ask) => {
      await ask('set local max_parallel_workers_per_gather = 0');
      return work(ask);
    });
  }

  /** Statements in one transaction. */
  async within<T>(isolation: string, work: (ask: Ask) => Promise<T>): Promise<T> {
    await this.#limit();
    return inTransaction(
      this.#client,
      this.snapshot === undefined ? isolation : 'repeatable read',
      () => work(this.ask),
      this.snapshot,
    );
  }

  /** A statement with `$1` in it can only be explained by the simple protocol: nobody binds its values. */
  explain(sql: string, { generic }: { readonly generic: boolean }): Promise<string> {
    const text = `explain (format json, verbose${generic ? ', generic_plan' : ''}) ${sql}`;
    return this.within('read committed', async (ask) => {
      await ask('set local search_path to default');
      const [row] = generic ? await ask(text) : await userQuery(this.#client, text);
      return String(row!['QUERY PLAN']);
    });
  }

  query(sql: string): Promise<Row[]> {
    return this.within('read committed', () => userQuery(this.#client, sql));
  }
}

/** Always rolled back: it has nothing to keep, and settings that a query changed go with it. */
async function inTransaction<T>(
  client: pg.Client,
  isolation: string,
  work: () => Promise<T>,
  snapshot?: string,
): Promise<T> {
  await heard(client.query(`begin transaction isolation level ${isolation} read only`));
  let result: T;
  try {
    if (snapshot !== undefined)
      await heard(client.query(`set transaction snapshot ${quoteLiteral(snapshot)}`));
    result = await work();
  } catch (error) {
    // Why it failed counts, and not that there is nothing left to roll back.
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
  await heard(client.query('rollback'));
  return result;
}

/** One statement by the extended protocol, which refuses a second one behind a semicolon: nothing leaves the transaction. */
async function userQuery(client: pg.Client, sql: string): Promise<Row[]> {
  await heard(client.query('set local search_path to default'));
  const text = { text: sql, types: TEXT, queryMode: 'extended', rowMode: 'array' } as pg.QueryArrayConfig;
  const result = await heard(client.query<unknown[]>(text));
  // Columns may share a name (`count`, `count`), which keys of an object may not.
  const names: string[] = [];
  for (const { name } of result.fields) {
    let unique = name;
    for (let next = 2; names.includes(unique); next += 1) unique = `${name} (${next})`;
    names.push(unique);
  }
  return result.rows.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index]])));
}
