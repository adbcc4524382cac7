import { quoteIdentifier, quoteLiteral } from '../../util/sql.ts';
import { plural } from '../../util/units.ts';
import type { Masks } from './mask/choose.ts';
import { fromOf, nameOf, rootOf, type ForeignKey, type SourceTable } from './model.ts';
import { unreadable, type Source } from './source.ts';
import type { ProofStage } from './stage.ts';

/** Keys of one query. */
const BATCH = 1000;
/** Masks have to be computed for all rows of the table, each time. */
const MASKED_BATCH = 100_000;
const PROGRESS_MS = 5000;

interface Between {
  readonly source: Source;
  readonly stage: ProofStage;
  readonly masks: Masks;
  readonly signal: AbortSignal;
  readonly progress: (line: string) => void;
  /** How many rows were added to a table, or to the root of its partitions. */
  readonly added: Map<SourceTable, number>;
}

/** Rows that refer to what the source itself does not have. */
export interface Orphans {
  readonly key: string;
  readonly table: string;
  readonly keys: number;
}

/** A foreign key, and the keys on the stage that were asked for already. */
class Tie {
  readonly #between: Between;
  readonly #key: ForeignKey;
  readonly #child: SourceTable;
  readonly #parent: SourceTable;
  readonly #asked: string;
  /** Of the keys that were asked for, by their numbers. */
  #done = 0;
  /** The child's rows when it was looked at. */
  #seen = -1;

  constructor(between: Between, key: ForeignKey, index: number) {
    const { tables } = between.source.model;
    this.#between = between;
    this.#key = key;
    this.#child = tables.get(key.child)!;
    this.#parent = tables.get(key.parent)!;
    this.#asked = `pg_temp.cutover_asked_${index}`;
  }

  async prepare(): Promise<void> {
    const list = this.#key.pairs.map(({ child }, at) => `c.${quoteIdentifier(child)} AS k${at}`);
    await this.#stage(
      `CREATE TEMP TABLE ${this.#asked.replace('pg_temp.', '')} AS
         SELECT 0::bigint AS n, ${list.join(', ')} FROM ${fromOf(this.#child)} c LIMIT 0`,
    );
  }

  /** Takes the parents that are missing from the source, each of them once; gives the number of rows. */
  async close(): Promise<number> {
    const { pairs } = this.#key;
    const { source, added } = this.#between;
    // What was not missing before is missing only for rows that have come since.
    const now = added.get(rootOf(source.model, this.#child)) ?? 0;
    if (now === this.#seen) return 0;
    this.#seen = now;
    const columns = pairs.map(({ child }) => `c.${quoteIdentifier(child)}`);
    const known = pairs.map(({ same }, at) => `k.k${at} ${same} ${columns[at]}`).join(' AND ');
    const [found] = await this.#stage<{ n: string }>(
      `WITH missing AS (INSERT INTO ${this.#asked} SELECT ${this.#done} + row_number() OVER (), d.* FROM (
         SELECT DISTINCT ${columns.join(', ')} FROM ${fromOf(this.#child)} c
         WHERE ${columns.map((column) => `${column} IS NOT NULL`).join(' AND ')}
           AND NOT EXISTS (SELECT FROM ${fromOf(this.#parent)} p WHERE ${this.#matches(columns)})
           AND NOT EXISTS (SELECT FROM ${this.#asked} k WHERE ${known})) d RETURNING n)
       SELECT count(*) AS n FROM missing`,
    );
    const from = this.#done;
    this.#done += Number(found!.n);
    const batch = this.#isMasked ? MASKED_BATCH : BATCH;
    let rows = 0;
    for (let start = from; start < this.#done; start += batch)
      rows += await this.#fetch(start, start + batch);
    const root = rootOf(source.model, this.#parent);
    added.set(root, (added.get(root) ?? 0) + rows);
    return rows;
  }

  /** What was asked for and is not there. */
  async orphans(): Promise<Orphans> {
    const columns = this.#key.pairs.map((_, at) => `k.k${at}`);
    const keys = await this.#between.stage.count(
      `${this.#asked} k WHERE NOT EXISTS (SELECT FROM ${fromOf(this.#parent)} p WHERE ${this.#matches(columns)})`,
    );
    return { key: this.#key.name, table: nameOf(this.#child), keys };
  }

  get #isMasked(): boolean {
    const masks = this.#between.masks.get(this.#parent);
    return this.#key.pairs.some(({ parent }) => masks?.has(parent));
  }

  #matches(columns: readonly string[]): string {
    return this.#key.pairs
      .map(({ parent, equal }, at) => `p.${quoteIdentifier(parent)} ${equal} ${columns[at]}`)
      .join(' AND ');
  }

  async #fetch(after: number, upTo: number): Promise<number> {
    const { source, stage, masks, signal } = this.#between;
    signal.throwIfAborted();
    const { pairs } = this.#key;
    const [keys] = await this.#stage<Record<string, string>>(
      `SELECT ${pairs.map((_, at) => `array_agg(k${at}::text ORDER BY n)::text AS k${at}`).join(', ')}
       FROM ${this.#asked} WHERE n > ${after} AND n <= ${upTo}`,
    );
    const arrays = pairs.map((_, at) => `${quoteLiteral(keys![`k${at}`]!)}::text[]`);
    const on = pairs.map(({ parent, equal, type }, at) => {
      return `${source.value(this.#parent, masks, parent)} ${equal} k.k${at}::${type}`;
    });
    const rows = source.rows(
      this.#parent,
      masks,
      `JOIN unnest(${arrays.join(', ')}) AS k(${pairs.map((_, at) => `k${at}`).join(', ')}) ON ${on.join(' AND ')}`,
    );
    try {
      return await stage.put(source.model, this.#parent, rows);
    } catch (cause) {
      throw unreadable(this.#parent, cause);
    }
  }

  #stage<Row extends Record<string, unknown>>(sql: string): Promise<Row[]> {
    return this.#between.stage.connection.query<Row>(sql, undefined, { long: true });
  }
}

/**
 * Adds every row that others on the stage refer to, and those to which these refer, until none is missing. Each key that is
 * missing is asked for once: what the source does not have, either, is told.
 */
export async function closeUpwards(given: Omit<Between, 'added'>): Promise<Orphans[]> {
  const between = { ...given, added: new Map<SourceTable, number>() };
  const ties = between.source.model.foreignKeys.map((key, index) => new Tie(between, key, index));
  for (const tie of ties) await tie.prepare();
  let total = 0;
  let shownAt = Date.now();
  for (let pass = 1, added = 1; added > 0; pass += 1) {
    added = 0;
    for (const tie of ties) added += await tie.close();
    total += added;
    // A chain of rows takes a pass for each of its links.
    const isOver = added === 0 && total > 0;
    if (!isOver && Date.now() - shownAt < PROGRESS_MS) continue;
    shownAt = Date.now();
    between.progress(
      `${plural(total, 'row')} more to which others refer, in ${plural(pass, 'pass', 'passes')}`,
    );
  }
  const orphans: Orphans[] = [];
  for (const tie of ties) orphans.push(await tie.orphans());
  return orphans.filter(({ keys }) => keys > 0);
}
