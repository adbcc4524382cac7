import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type QueryResult, type QueryResultRow } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import { codeOf, isServerError, messageOf, StepError } from '../../core/errors.ts';
import type { Address } from './address.ts';
import { inTurn } from '../../util/turns/in-turn.ts';
import { destroyClient, endClient } from '../../util/pg-client.ts';
import { formatDuration } from '../../util/units.ts';
import { withDatabase } from '../../util/url.ts';

/** One connection. It remembers that it was lost, and says so on the next query instead of crashing the process. */
export class Connection {
  readonly client: Client;
  readonly pid: number;
  /**
   * Milliseconds within which the server must answer a statement; undefined waits without end. A server that says
   * nothing for longer counts as gone: the connection is lost, and whoever works on finds out from the next one.
   */
  limit: number | undefined;
  /** Of statements that were prepared, by their texts. */
  readonly #names = new Map<string, string>();
  #lost: Error | undefined;
  readonly #inTurn = inTurn();

  private constructor(client: Client, pid: number) {
    this.client = client;
    this.pid = pid;
    client.on('error', (error) => (this.#lost ??= error));
    client.on('end', () => (this.#lost ??= new Error('the connection was closed')));
  }

  /** Throws StepError with the server's words; `code` of the cause is SQLSTATE or errno. */
  static async open(address: Address, database: string): Promise<Connection> {
    const client = new Client({
      ...parseIntoClientConfig(withDatabase(address.url, database)),
      // Said once more: the parser leaves some percent-encoded characters of the name as they are.
      database,
      application_name: address.application,
      connectionTimeoutMillis: address.limits.connect,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    });
    // Said to nobody who asks later: the driver has words of its own then.
    let broken: Error | undefined;
    client.on('error', (error) => (broken ??= error));
    try {
      await client.connect();
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      refusePooler(client, rows[0]!.pid);
      return new Connection(client, rows[0]!.pid);
    } catch (error) {
      await endClient(client);
      if (error instanceof StepError) throw error;
      const cause = withCode(isServerError(error) ? error : (broken ?? error));
      throw new StepError(
        `cannot connect to ${database} on ${address.host}:${address.port}: ${connectMessage(cause)}`,
        {
          cause,
          hint: connectHint(cause, address),
        },
      );
    }
  }

  get lost(): boolean {
    return this.#lost !== undefined;
  }

  query<R extends QueryResultRow = Record<string, unknown>>(
    sql: string,
    parameters?: readonly unknown[],
    { long = false } = {},
  ): Promise<R[]> {
    return this.#ask(long, () => this.client.query<R>(sql, parameters as unknown[] | undefined));
  }

  /** For where every moment counts: parsed once a connection, and executed as often as it is asked for. */
  prepared<R extends QueryResultRow = Record<string, unknown>>(
    text: string,
    values: readonly unknown[] = [],
  ): Promise<R[]> {
    const name = this.#names.get(text) ?? `cutover_${this.#names.size}`;
    this.#names.set(text, name);
    return this.#ask(false, () => this.client.query<R>({ name, text, values: [...values] }));
  }

  async #ask<R extends QueryResultRow>(long: boolean, work: () => Promise<QueryResult<R>>): Promise<R[]> {
    if (this.#lost) throw lostError(this.#lost);
    // One after the other: a client that is asked while it works complains on stderr.
    const answer = this.#inTurn(() => this.#limited(long, work));
    const result: unknown = await answer.catch((error: unknown) => {
      // The driver's own errors have no SQLSTATE: the connection broke under the statement.
      if (isServerError(error) || !(error instanceof Error)) throw error;
      throw lostError(this.#lost ?? error);
    });
    // Several statements in one text give several results: the last one's rows count.
    return ((Array.isArray(result) ? result.at(-1) : result) as QueryResult<R>).rows;
  }

  async end(): Promise<void> {
    await endClient(this.client);
  }

  /** Lets go of a server that does not answer: what is being executed fails at once. */
  destroy(reason: string): void {
    this.#lost ??= new Error(reason);
    destroyClient(this.client);
  }

  async #limited<T>(long: boolean, work: () => Promise<T>): Promise<T> {
    const { limit } = this;
    if (limit === undefined || long) return work();
    const timer = setTimeout(
      () => this.destroy(`the server did not answer within ${formatDuration(limit)}`),
      limit,
    );
    try {
      return await work();
    } finally {
      clearTimeout(timer);
    }
  }
}

/** One that broke says so by its code: the driver's own errors have none. */
export function lostError(error: Error): StepError {
  const cause = Object.assign(error, { code: codeOf(error) ?? '08006' });
  return new StepError(`the connection to the server was lost: ${error.message}`, { cause });
}

/** The driver's own words for a connection that did not come about in time, or broke in the login, have no code. */
function withCode(error: unknown): unknown {
  if (!(error instanceof Error) || codeOf(error) !== undefined) return error;
  if (error.message === 'timeout expired') return Object.assign(error, { code: 'ETIMEDOUT' });
  return /^Connection terminated|is not queryable$/.test(error.message)
    ? Object.assign(error, { code: '08006' })
    : error;
}

/** A pooler tells its clients a process id of its own making. What the tool holds is a session, which no pooler gives. */
function refusePooler(client: Client, pid: number): void {
  const { processID: told } = client as unknown as { processID: number };
  if (told === pid) return;
  throw new StepError(
    'the connection goes through a pooler, and locks, fences and renames need the server itself',
    {
      hint: "give blue's own host and port in the connection string, not the pooler's",
    },
  );
}

function connectMessage(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return messageOf(cause.errors[0]);
  return messageOf(cause);
}

function connectHint(cause: unknown, address: Address): string {
  const code = codeOf(cause);
  if (code === '28P01' || code === '28000') return 'check user and password in the connection string';
  if (code === '3D000') return 'check the database name in the connection string';
  if (code === 'ENOTFOUND') return 'check the host in the connection string';
  return `is the server running, and does it listen on ${address.host}:${address.port}?`;
}

// No connection free, or the server is starting up, shutting down, or not there yet.
const PASSING = new Set([
  '08006',
  '53300',
  '57P01',
  '57P02',
  '57P03',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
]);

/** Connects, and goes on trying for `patience` milliseconds while the server is only just away. */
export async function openPatiently(
  address: Address,
  database: string,
  patience: number,
): Promise<Connection> {
  const deadline = Date.now() + patience;
  for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
    try {
      return await Connection.open(address, database);
    } catch (error) {
      if (!PASSING.has(codeOf(error) ?? '') || Date.now() + pause > deadline) throw error;
      await sleep(pause);
    }
  }
}

/** A connection outside of blue and green: `postgres`, or `template1` where an administrator removed it. */
export async function openMaintenance(address: Address, patience: number): Promise<Connection> {
  const connection = await openPatiently(address, 'postgres', patience).catch((error: unknown) => {
    if (codeOf(error) !== '3D000') throw error;
    return openPatiently(address, 'template1', patience);
  });
  // It may have nothing to say for hours; and when its client is gone, the server shall notice within half a minute.
  connection.limit = address.limits.statement;
  await connection.query(
    `set idle_session_timeout = 0; set statement_timeout = 0; set lock_timeout = ${address.limits.lock};
     set plan_cache_mode = force_generic_plan;
     set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3`,
  );
  return connection;
}
