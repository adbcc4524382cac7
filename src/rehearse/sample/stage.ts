import type { Readable } from 'node:stream';
import { isServerError, messageOf, StepError } from '../../core/errors.ts';
import type { Connection } from '../../databases/postgres/connection.ts';
import { copyIn, copyOut } from '../../databases/postgres/fixture/copy.ts';
import { quoteIdentifier, quotePath } from '../../util/sql.ts';
import { rootOf, storedColumns, type Model, type SourceTable } from './model.ts';
import { openPlace, type Place } from './place.ts';
import type { Source } from './source.ts';

/** A database that proves that the rows which were taken keep every rule of the schema. */
export class ProofStage {
  readonly major: number;
  readonly connection: Connection;
  readonly #place: Place;

  private constructor(place: Place) {
    this.major = place.major;
    this.connection = place.connection;
    this.#place = place;
  }

  /** On a server for tests that is given, or on one that is started for it. */
  static async open(source: Source, given: string | undefined): Promise<ProofStage> {
    return new ProofStage(await openPlace(source, given));
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

  end(): Promise<void> {
    return this.#place.end();
  }
}

/** `("a", "b")`; nothing for a table without columns, of which no list can be written. */
const listOf = (columns: readonly string[]): string =>
  columns.length === 0 ? '' : ` (${columns.map(quoteIdentifier).join(', ')})`;
