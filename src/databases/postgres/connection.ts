import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type QueryResult, type QueryResultRow } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import { isServerError, messageOf, StepError } from '../../core/errors.ts';
import { addSecretsOfUrl } from '../../util/redact.ts';
import { withDatabase, withoutDriver } from '../../util/url.ts';

/** How to reach a server; the password is in here. */
export interface Address {
  readonly url: string;
  /** As it was given: an application's tools may need the driver that it names. */
  readonly given: string;
  readonly host: string;
  readonly port: number;
  readonly application: string;
}

const CONNECT_MS = 10_000;

/** Reads a connection string; the environment's PGHOST, PGPORT and .pgpass count as they do for psql. */
export function addressOf(rawUrl: string, application: string): Address {
  const url = withoutDriver(rawUrl);
  addSecretsOfUrl(url);
  const config = parseIntoClientConfig(url);
  return {
    url,
    given: rawUrl,
    host: config.host ?? process.env['PGHOST'] ?? 'localhost',
    port: Number(config.port ?? process.env['PGPORT'] ?? 5432),
    application,
  };
}

/** One connection. It remembers that it was lost, and says so on the next query instead of crashing the process. */
export class Connection {
  readonly client: Client;
  readonly pid: number;
  #lost: Error | undefined;
  #last: Promise<unknown> = Promise.resolve();

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
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      refusePooler(client, rows[0]!.pid);
      return new Connection(client, rows[0]!.pid);
    } catch (cause) {
      await client.end().catch(() => undefined);
      if (cause instanceof StepError) throw cause;
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

  async query<R extends QueryResultRow = Record<string, unknown>>(
    sql: string,
    parameters?: readonly unknown[],
  ): Promise<R[]> {
    if (this.#lost)
      throw new StepError(`the connection to the server was lost: ${this.#lost.message}`, {
        cause: this.#lost,
      });
    // One after the other: a client that is asked while it works complains on stderr.
    const answer = this.#last.then(() => this.client.query<R>(sql, parameters as unknown[] | undefined));
    this.#last = answer.catch(() => undefined);
    const result: unknown = await answer.catch((error: unknown) => {
      // The driver's own errors have no SQLSTATE: the connection broke under the statement.
      if (isServerError(error) || !(error instanceof Error)) throw error;
      throw new StepError(`the connection to the server was lost: ${error.message}`, { cause: error });
    });
    // Several statements in one text give several results: the last one's rows count.
    return ((Array.isArray(result) ? result.at(-1) : result) as QueryResult<R>).rows;
  }

  async end(): Promise<void> {
    await this.client.end().catch(() => undefined);
  }
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

/** SQLSTATE of a server's error, or errno of a failed connection. */
export function codeOf(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    const { code } = current as { code?: unknown };
    if (typeof code === 'string') return code;
    if (current instanceof AggregateError && current.errors.length > 0) return codeOf(current.errors[0]);
  }
  return undefined;
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
  await connection.query(
    `set idle_session_timeout = 0; set statement_timeout = 0; set lock_timeout = 0;
     set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3`,
  );
  return connection;
}

/** Runs `work` and cancels what the connection is executing when the signal fires; then throws the signal's reason. */
export async function cancellable<T>(
  connection: Connection,
  address: Address,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  let cancelled: Promise<void> | undefined;
  const cancel = (): void => {
    cancelled = (async () => {
      const helper = await openMaintenance(address, 0);
      try {
        await helper.query('select pg_cancel_backend($1)', [connection.pid]);
      } finally {
        await helper.end();
      }
    })().catch(() => undefined);
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
    // One that is under way must not hit the next statement, which puts things back.
    await cancelled;
  }
}
