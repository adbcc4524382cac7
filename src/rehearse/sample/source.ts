import type { Readable } from 'node:stream';
import { codeOf, messageOf, RefusedError, StepError } from '../../core/errors.ts';
import { addressOf, type Address } from '../../databases/postgres/address.ts';
import { Connection } from '../../databases/postgres/connection.ts';
import { copyOut } from '../../databases/postgres/fixture/copy.ts';
import { createReader, prepareReaderSession } from '../../databases/postgres/reading/reader.ts';
import type { SequenceState } from '../../core/database/catalog.ts';
import { quoteIdentifier } from '../../util/sql.ts';
import type { Masks } from './mask/choose.ts';
import { KEY_SETTING, masked } from './mask/shapes.ts';
import { fromOf, nameOf, readModel, storedColumns, type Model, type SourceTable } from './model.ts';

export interface SourceOptions {
  /** Connection string; secret. */
  readonly url: string;
  readonly database: string;
  /** Of the masks; secret. */
  readonly key: string;
}

/** The database that a fixture is made from, as it was at one moment. Nothing is changed on it. */
export class Source {
  readonly address: Address;
  readonly connection: Connection;
  readonly major: number;
  readonly version: string;
  readonly model: Model;

  private constructor(parts: Pick<Source, 'address' | 'connection' | 'major' | 'version' | 'model'>) {
    this.address = parts.address;
    this.connection = parts.connection;
    this.major = parts.major;
    this.version = parts.version;
    this.model = parts.model;
  }

  static async open({ url, database, key }: SourceOptions): Promise<Source> {
    const address = addressOf(url, 'cutover fixture');
    const connection = await Connection.open(address, database);
    try {
      await prepareReaderSession(connection.client);
      await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await connection.query('select set_config($1, $2, true)', [KEY_SETTING, key]);
      const [row] = await connection.query<{ number: number; version: string }>(
        `select current_setting('server_version_num')::int as number, current_setting('server_version') as version`,
      );
      const { number, version } = row!;
      const model = await readModel(connection);
      return new Source({ address, connection, major: Math.floor(number / 10_000), version, model });
    } catch (error) {
      await connection.end();
      throw error;
    }
  }

  /** How many rows a table has; when it has many, only the server's idea of it. */
  async size(table: SourceTable, most: number): Promise<{ rows: number; exact: boolean }> {
    const count = async (from: string): Promise<number> => {
      const [row] = await this.#asked(table, () =>
        this.connection.query<{ n: string }>(`select count(*) as n from ${from}`, undefined, { long: true }),
      );
      return Number(row!.n);
    };
    const rows = await count(`(select from ${fromOf(table)} limit ${most}) t`);
    if (rows < most) return { rows, exact: true };
    if (table.estimated >= most) return { rows: Math.round(table.estimated), exact: false };
    return { rows: await count(fromOf(table)), exact: true };
  }

  /** Rows of a table as COPY writes them, masked; `t` is the table in the condition. */
  rows(table: SourceTable, masks: Masks, condition: string): Readable {
    const list = storedColumns(table).map(({ name }) => this.value(table, masks, name));
    return copyOut(
      this.connection,
      `COPY (SELECT ${list.join(', ')} FROM ${fromOf(table)} t ${condition}) TO STDOUT (ENCODING 'UTF8')`,
    );
  }

  /** SQL for a column of `t` as it is in the fixture. */
  value(table: SourceTable, masks: Masks, name: string): string {
    const value = `t.${quoteIdentifier(name)}`;
    const mask = masks.get(table)?.get(name);
    return mask
      ? masked(
          value,
          table.columns.find((column) => column.name === name)!,
          mask,
        )
      : value;
  }

  /** Where sequences stand now; no snapshot holds them. */
  sequences(): Promise<SequenceState[]> {
    return createReader([this.connection.client]).sequences();
  }

  end(): Promise<void> {
    return this.connection.end();
  }

  async #asked<T>(table: SourceTable, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw unreadable(table, cause);
    }
  }
}

/** SQLSTATE of what a rule of the schema refuses, and of values that do not fit. */
const RULES = /^(?:22|23)/;
const FOREIGN_KEY = '23503';

/** An error of a table's rows, with names of columns and rules, and without values. */
export function unreadable(table: SourceTable, cause: unknown): Error {
  const code = codeOf(cause) ?? '';
  if (code === '42501')
    return new RefusedError(`the rows of ${nameOf(table)} may not be read: ${messageOf(cause)}`, {
      cause,
      hint: 'GRANT pg_read_all_data TO …, and BYPASSRLS where policies hide rows; or connect as a superuser',
    });
  const { constraint, column } = cause as { constraint?: string; column?: string };
  const where = [nameOf(table), constraint && `constraint ${constraint}`, column && `column ${column}`];
  return new StepError(`the rows of ${nameOf(table)} cannot be taken: ${messageOf(cause)}`, {
    cause,
    where: where.filter(Boolean).join(', '),
    hint: hintFor(cause),
  });
}

/** What to do about rows that a rule of the schema refuses. */
export function hintFor(cause: unknown): string | undefined {
  const code = codeOf(cause) ?? '';
  if (code === FOREIGN_KEY)
    return 'the database itself seems to hold rows that break this key, written while triggers were off: look for them there';
  return RULES.test(code)
    ? 'perhaps a mask breaks a rule of the schema: leave its column as it is with --keep, if it holds nothing personal'
    : undefined;
}
