import type { Client } from 'pg';
import { isServerError, serverMessage } from '../../../core/errors.ts';
import { displayPath, quoteIdentifier, quotePath } from '../../../util/sql.ts';
import { derive, fromOf, KINDS, type Derived, type Kind, type Statements } from './derive.ts';
import { printOf, readShapes, type Column, type Shape } from './shape.ts';

/** A table as it is in one schema, and what clients do to it there. */
export interface Table {
  readonly shape: Shape;
  readonly print: string;
  readonly statements: Statements;
  readonly without: Derived['without'];
  /** Keys of rows, as text. */
  readonly keys: readonly (readonly string[])[];
}

/** By the names of tables, as people read them. */
export type Generation = ReadonlyMap<string, Table>;

/** Rows of a table that clients know. */
const KEYS = 1000;
/** Numbers that a sequence must have left. */
const NUMBERS = 10_000n;

/**
 * Reads the catalogue and derives statements for every table, in one transaction, so that it is one database wherever
 * clients are led meanwhile. What the server refuses to plan is left out with its words. Tables that are as they were
 * in `first` have its statements.
 */
export async function readGeneration(connection: Client, first?: Generation): Promise<Generation> {
  await connection.query('begin isolation level repeatable read');
  const tables = new Map<string, Table>();
  for (const shape of await readShapes(connection)) {
    const name = displayPath(shape.path);
    const before = first?.get(name);
    // A table that the migrations have made is nobody's so far, and one that was left out stays so.
    if (first && !before?.statements.reads) continue;
    const print = printOf(shape);
    tables.set(name, before?.print === print ? before : await tableOf(connection, shape, print, before));
  }
  await connection.query('commit');
  return tables;
}

async function tableOf(
  connection: Client,
  shape: Shape,
  print: string,
  before: Table | undefined,
): Promise<Table> {
  const derived = derive(shape, before?.shape);
  const none = (why: string): Table => ({
    shape,
    print,
    statements: {},
    without: [{ kind: 'statements', why }],
    keys: [],
  });
  if (!derived.statements.reads) return { shape, print, ...derived, keys: [] };
  const keys = await attempt(connection, () => readKeys(connection, shape));
  if (typeof keys === 'string') return none(keys);
  if (keys.length === 0) return none('no row');
  const statements: Partial<Record<Kind, Statements[Kind]>> = {};
  const without = [...derived.without];
  for (const kind of KINDS) {
    const statement = derived.statements[kind];
    if (!statement) continue;
    const values = Array.from({ length: statement.rows }, () => keys[0]!).flat();
    const why =
      (await refusal(connection, statement.sql, values)) ??
      // Later on it is the tool that brings sequences over: what is wrong with them then is to be seen.
      (kind === 'inserts' && !before ? await usedUp(connection, shape) : undefined);
    if (why === undefined) statements[kind] = statement;
    else without.push({ kind, why });
  }
  if (!statements.inserts) delete statements.deletes;
  return { shape, print, statements: statements as Statements, without, keys };
}

/** Gives what the server says against it, and goes on in the transaction. */
async function attempt<T>(connection: Client, work: () => Promise<T>): Promise<T | string> {
  await connection.query('savepoint derived');
  try {
    const result = await work();
    await connection.query('release savepoint derived');
    return result;
  } catch (error) {
    if (!isServerError(error)) throw error;
    await connection.query('rollback to savepoint derived');
    return serverMessage(error);
  }
}

/** Planned and never run: rights and operators are looked at. */
const refusal = (connection: Client, sql: string, values: readonly string[]): Promise<string | undefined> =>
  attempt<string | undefined>(connection, async () => {
    await connection.query(`explain ${sql}`, [...values]);
    return undefined;
  });

async function readKeys(connection: Client, shape: Shape): Promise<string[][]> {
  const names = shape.key.map(quoteIdentifier);
  const { rows } = await connection.query<string[]>({
    text: `select ${names.map((name) => `${name}::text`).join(', ')} from ${fromOf(shape)}
      order by ${names.join(', ')} limit ${KEYS}`,
    rowMode: 'array',
  });
  return rows;
}

interface Numbers {
  readonly next: string;
  readonly step: string;
  readonly left: string;
}

/** Why the default of a key gives no number that is new; undefined when it does. */
async function usedUp(connection: Client, shape: Shape): Promise<string | undefined> {
  const ofKey = shape.columns.filter(({ name, sequence }) => sequence !== null && shape.key.includes(name));
  for (const column of ofKey) {
    const why = await attempt<string | undefined>(connection, () => behind(connection, shape, column));
    if (why !== undefined) return why;
  }
  return undefined;
}

async function behind(connection: Client, shape: Shape, column: Column): Promise<string | undefined> {
  const { rows } = await connection.query<Numbers>(
    `select (coalesce(last_value::numeric + increment_by, start_value))::text as next, increment_by::text as step,
       trunc((case when increment_by > 0 then max_value else min_value end - coalesce(last_value, start_value)::numeric) / increment_by)::text as left
     from pg_sequences where schemaname = $1 and sequencename = $2`,
    [...column.sequence!],
  );
  const [numbers] = rows;
  if (!numbers) return 'the sequence of the key cannot be read';
  if (BigInt(numbers.left) < NUMBERS) return 'the sequence of the key is nearly used up';
  const name = quoteIdentifier(column.name);
  const beyond = await connection.query(
    `select from ${shape.partitioned ? '' : 'only '}${quotePath(shape.path)} where ${name} ${numbers.step.startsWith('-') ? '<=' : '>='} $1::int8 limit 1`,
    [numbers.next],
  );
  return beyond.rows.length > 0 ? 'the sequence of the key is behind its rows' : undefined;
}
