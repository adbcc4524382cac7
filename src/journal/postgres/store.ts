import type { Approval } from '../../core/approval.ts';
import { codeOf, RefusedError, StepError, UsageError } from '../../core/errors.ts';
import type { Event } from '../../core/event.ts';
import { addressOf, type Address } from '../../databases/postgres/address.ts';
import { openPatiently, type Connection } from '../../databases/postgres/connection.ts';
import { KeptConnection } from '../../databases/postgres/kept-connection.ts';
import { redact } from '../../util/redact.ts';
import { databaseOf } from '../../util/url.ts';
import type { Journal, JournalStore, Request, RequestBody } from '../journal.ts';
import { asRequest, newRequest } from '../requests.ts';
import { PostgresJournal, readEvents } from './journal.ts';
import { approvalNames, putApproval, readApproval, removeApproval } from './approvals.ts';
import { removeRun } from './remove.ts';
import { hasSchema, migrateSchema } from './schema.ts';
import { writerOf } from './writer-lock.ts';

/** How long a server that is just away is waited for. */
const PATIENCE_MS = 15_000;
const LIMITS = { connect: 10_000, lock: 10_000, statement: 30_000 };

/**
 * Journals in a PostgreSQL database, in a schema of their own that the tool makes: the runs are seen, and gone on with,
 * from every machine that reaches it. Format: docs/formats.md.
 */
export class PostgresJournalStore implements JournalStore {
  readonly place: string;
  readonly #address: Address;
  readonly #database: string;
  readonly #kept = new KeptConnection(() => this.#connect());

  /** Throws UsageError when the connection string names no database. */
  constructor(url: string) {
    this.#address = addressOf(url, 'cutover journals', LIMITS);
    const database = databaseOf(url);
    if (database === undefined) {
      throw new UsageError('the connection string of --state names no database', {
        hint: 'write --state postgresql://user@host/database',
      });
    }
    this.#database = database;
    this.place = redact(url);
  }

  async create(run: string): Promise<Journal> {
    const connection = await this.#kept.get();
    await migrateSchema(connection);
    await connection.query('insert into cutover.runs (run) values ($1)', [run]).catch((cause: unknown) => {
      if (codeOf(cause) !== '23505') throw cause;
      throw new RefusedError(`there is a run ${run} already`, { cause });
    });
    return PostgresJournal.open(run, () => this.#connect());
  }

  async open(run: string): Promise<Journal> {
    await this.read(run);
    return PostgresJournal.open(run, () => this.#connect());
  }

  async read(run: string): Promise<Event[]> {
    const connection = await this.#kept.get();
    const known =
      (await hasSchema(connection)) &&
      (await connection.query('select from cutover.runs where run = $1', [run])).length > 0;
    if (known) return readEvents(connection, run);
    throw new UsageError(`there is no run ${run}`, {
      where: this.place,
      hint: 'see the runs there are: cutover runs',
    });
  }

  async list(): Promise<string[]> {
    const connection = await this.#kept.get();
    if (!(await hasSchema(connection))) return [];
    const rows = await connection.query<{ run: string }>(
      'select run from cutover.runs order by run collate "C"',
    );
    return rows.map(({ run }) => run);
  }

  async writer(run: string): Promise<string | undefined> {
    const connection = await this.#kept.get();
    return (await hasSchema(connection)) ? writerOf(connection, run) : undefined;
  }

  async post(run: string, body: RequestBody & Pick<Request, 'by' | 'seq'>): Promise<Request> {
    const request = newRequest(body);
    const connection = await this.#kept.get();
    await connection.query('insert into cutover.requests (run, id, body) values ($1, $2, $3)', [
      run,
      request.id,
      JSON.stringify(request),
    ]);
    return request;
  }

  async requests(run: string): Promise<Request[]> {
    const connection = await this.#kept.get();
    const rows = await connection.query<{ body: string }>(
      'select body from cutover.requests where run = $1 order by id collate "C"',
      [run],
    );
    return rows.flatMap(({ body }) => asRequest(JSON.parse(body)) ?? []);
  }

  async withdraw(run: string, id: string): Promise<void> {
    const connection = await this.#kept.get();
    await connection.query('delete from cutover.requests where run = $1 and id = $2', [run, id]);
  }

  async remove(run: string): Promise<void> {
    await this.read(run);
    await removeRun(await this.#kept.get(), run);
  }

  async approve(approval: Approval): Promise<void> {
    const connection = await this.#kept.get();
    await migrateSchema(connection);
    await putApproval(connection, approval);
  }

  async approval(name: string): Promise<Approval | undefined> {
    return readApproval(await this.#kept.get(), name, this.place);
  }

  async approvals(): Promise<string[]> {
    return approvalNames(await this.#kept.get());
  }

  async disapprove(name: string): Promise<boolean> {
    return removeApproval(await this.#kept.get(), name);
  }

  async home(): Promise<{ server: string; database: string }> {
    const connection = await this.#kept.get();
    const [row] = await connection.query<{ server: string; database: string }>(
      `select system_identifier::text as server, current_database() as database from pg_control_system()`,
    );
    return row!;
  }

  end(): Promise<void> {
    return this.#kept.end();
  }

  async #connect(): Promise<Connection> {
    const connection = await openPatiently(this.#address, this.#database, PATIENCE_MS).catch(
      (cause: unknown) => {
        if (!(cause instanceof StepError)) throw cause;
        const { message, hint } = cause;
        throw new RefusedError(`the journals cannot be reached: ${message}`, { cause, hint });
      },
    );
    connection.limit = LIMITS.statement;
    return connection;
  }
}
