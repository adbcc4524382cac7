import type { Client } from 'pg';
import type { Finding } from '../../../core/drivers/check.ts';
import { isServerError, messageOf } from '../../../core/errors.ts';
import { displayPath } from '../../../util/sql.ts';
import { formatCount, plural } from '../../../util/units.ts';
import type { Transaction } from '../ledger.ts';
import { Chance } from './chance.ts';
import { KINDS, type Kind, type Statement } from './derive.ts';
import { differenceOf } from './difference.ts';
import { readGeneration, type Generation, type Table } from './generation.ts';
import { printOf, readShapes } from './shape.ts';

/** What one client has to go by. */
interface Own {
  readonly chance: Chance;
  readonly turn: Record<Kind, number>;
  /** Keys of rows that it has inserted, by the names of tables. */
  readonly inserted: Map<string, { readonly print: string; readonly keys: string[][] }>;
}

const CHECK = 'application';

/** SQLSTATEs by which a statement fails that was made for another schema. */
const OF_ANOTHER = /^(?:42...|22...|23502|23514)$/;
/** Of what a statement does, and not of how clients get to the server. */
const OF_STATEMENT = /^(?:22|23|42|P0)/;

/** Clients with statements that are derived from the schema, as those of an application that is deployed with it. */
export class Application {
  /** What is left out, a line each. */
  readonly without: readonly string[];
  readonly #first: Generation;
  #now: Generation;
  readonly #seed: number;
  readonly #own = new Map<number, Own>();
  readonly #done: Record<Kind, number> = { reads: 0, updates: 0, inserts: 0, deletes: 0 };
  /** How tables differ for which statements were derived anew. */
  readonly #anew = new Map<string, string>();
  #renewing: Promise<void> | undefined;

  private constructor(generation: Generation, seed: number) {
    this.#first = generation;
    this.#now = generation;
    this.#seed = seed;
    this.without = linesOf(generation);
  }

  /** From the database of a connection, as whoever it belongs to. */
  static async derive(connection: Client, seed: number): Promise<Application> {
    return new Application(await readGeneration(connection), seed);
  }

  /** Undefined where no table has a statement of this kind. */
  transaction(kind: Kind): Transaction | undefined {
    const names = [...this.#first].flatMap(([name, { statements }]) => (statements[kind] ? [name] : []));
    if (names.length === 0) return undefined;
    return async (connection, client) => {
      const own = this.#ownOf(client);
      const name = names[(client + own.turn[kind]) % names.length]!;
      own.turn[kind] += 1;
      if (await this.#perform(connection, own, kind, name)) this.#done[kind] += 1;
    };
  }

  /** What was done. */
  done(): Finding {
    const tables = [...this.#first.values()].filter(({ statements }) => statements.reads).length;
    const counts = KINDS.map((kind) => `${formatCount(this.#done[kind])} ${kind}`).join(', ');
    const message = `statements derived from the schema for ${plural(tables, 'table')}: ${counts}`;
    return { check: CHECK, severity: 'note', message };
  }

  /** Of which tables the statements were derived anew, if of any. */
  anew(): Finding[] {
    const lines = [...this.#anew].map(([name, words]) => `${name} (${words})`).toSorted();
    const message = `statements derived anew after the switch: ${lines.join('; ')}`;
    return lines.length === 0 ? [] : [{ check: CHECK, severity: 'note', message }];
  }

  #ownOf(client: number): Own {
    const known = this.#own.get(client);
    if (known) return known;
    const own: Own = {
      chance: new Chance(this.#seed, client),
      turn: { reads: 0, updates: 0, inserts: 0, deletes: 0 },
      inserted: new Map(),
    };
    this.#own.set(client, own);
    return own;
  }

  /**
   * With the statement of now; again with another one, as often as it turns out to be of another schema.
   * Says whether there is one.
   */
  async #perform(connection: Client, own: Own, kind: Kind, name: string): Promise<boolean> {
    for (;;) {
      const table = this.#now.get(name);
      if (!table?.statements[kind]) {
        // What is gone, or can do less, may be back.
        if (!(await this.#outdated(connection, name, table))) return false;
        if (!this.#now.get(name)?.statements[kind]) return false;
        continue;
      }
      try {
        await this.#act(connection, own, kind, table);
        return true;
      } catch (error) {
        if (!isServerError(error) || !OF_STATEMENT.test(error.code)) throw error;
        const other = OF_ANOTHER.test(error.code) && (await this.#outdated(connection, name, table));
        if (!other) throw named(error, kind, name);
        this.#tell(name);
      }
    }
  }

  async #act(connection: Client, own: Own, kind: Kind, table: Table): Promise<void> {
    const { shape, statements, print } = table;
    const name = displayPath(shape.path);
    let mine = own.inserted.get(name);
    // Keys of another schema may be none here.
    if (mine?.print !== print) own.inserted.set(name, (mine = { print, keys: [] }));
    if (kind === 'deletes') {
      const key =
        mine.keys.pop() ?? (await insertOne(connection, statements.inserts!, this.#row(own, table)));
      if (key) await connection.query(statements.deletes!.sql, [...key]);
      return;
    }
    const { sql, rows } = statements[kind]!;
    const values = Array.from({ length: rows }, () => this.#row(own, table)).flat();
    if (kind !== 'inserts') await connection.query(sql, values);
    else {
      const key = await insertOne(connection, statements.inserts!, values);
      if (key) mine.keys.push(key);
    }
  }

  #row(own: Own, { keys }: Table): readonly string[] {
    return keys[own.chance.draw(keys.length)]!;
  }

  /**
   * Whether the table is another one where the connection leads than that of which `known` was made. If so, and nobody
   * has noticed so far, the statements of all tables are derived anew.
   */
  async #outdated(connection: Client, name: string, known: Table | undefined): Promise<boolean> {
    const { path } = this.#first.get(name)!.shape;
    const [shape] = await readShapes(connection, path);
    const print = shape && printOf(shape);
    if (print === known?.print) return false;
    if (this.#now.get(name)?.print !== print) await (this.#renewing ??= this.#renew(connection));
    return true;
  }

  async #renew(connection: Client): Promise<void> {
    try {
      this.#now = await readGeneration(connection, this.#first);
    } finally {
      this.#renewing = undefined;
    }
    for (const [name, { statements }] of this.#first) {
      const now = this.#now.get(name);
      const same = JSON.stringify(now?.statements) === JSON.stringify(statements);
      if (statements.reads && !same) this.#tell(name);
    }
  }

  /** Back where statements were derived at first there is nothing to tell. */
  #tell(name: string): void {
    const first = this.#first.get(name)!;
    const now = this.#now.get(name);
    if (now?.print === first.print) return;
    const lost = KINDS.filter((kind) => first.statements[kind] && now && !now.statements[kind]);
    const words = differenceOf(first.shape, now?.shape);
    this.#anew.set(name, lost.length > 0 ? `${words}; no ${lost.join(', ')} any more` : words);
  }
}

/** Gives the key of the copy; undefined when the row is gone that was to be copied. */
async function insertOne(
  connection: Client,
  { sql }: Statement,
  key: readonly string[],
): Promise<string[] | undefined> {
  const { rows } = await connection.query<string[]>({ text: sql, values: [...key], rowMode: 'array' });
  return rows[0];
}

const named = (error: Error, kind: Kind, name: string): Error =>
  new Error(`${kind} of ${name}: ${messageOf(error)}`, { cause: error });

/** A line for each reason, with its tables. */
function linesOf(generation: Generation): string[] {
  const tables = new Map<string, string[]>();
  for (const [name, { without }] of generation)
    for (const { kind, why } of without) {
      const of = `${kind}: ${why}`;
      tables.set(of, [...(tables.get(of) ?? []), name]);
    }
  return [...tables].map(([of, names]) => `derived ${of} (${names.join(', ')})`);
}
