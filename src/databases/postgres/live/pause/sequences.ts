import { quotePath } from '../../../../util/sql.ts';
import { notOfExtension, userSchema } from '../../catalog/sql.ts';
import type { Connection } from '../../connection.ts';

type Path = readonly [schema: string, name: string];

const LIST = `
select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'S' and c.relpersistence <> 't' and ${userSchema('n')} and ${notOfExtension('pg_class', 'c.oid')}
order by n.nspname collate "C", c.relname collate "C"`;

export async function listSequences(connection: Connection): Promise<Path[]> {
  const rows = await connection.query<{ schema: string; name: string }>(LIST);
  return rows.map(({ schema, name }) => [schema, name]);
}

/** Where every sequence stands: one text of `index value called`, in the order of the paths. */
export interface Positions {
  readonly values: readonly string[];
  readonly called: readonly boolean[];
}

/**
 * Brings sequences of one side to where those of the other stand, all in one statement a side. The statement is
 * prepared beforehand, since planning one over thousands of sequences takes longer than the pause.
 */
export class Sequences {
  readonly #paths: readonly Path[];
  #last: Positions | undefined;

  constructor(paths: readonly Path[]) {
    this.#paths = paths;
  }

  get count(): number {
    return this.#paths.length;
  }

  /** Sequences that both have. */
  static async between(from: Connection, to: Connection): Promise<Sequences> {
    const there = new Set((await listSequences(to)).map((path) => JSON.stringify(path)));
    return new Sequences((await listSequences(from)).filter((path) => there.has(JSON.stringify(path))));
  }

  /** Reads all on one side and sets those on the other that have moved since the last time. */
  async carry(from: Connection, to: Connection): Promise<void> {
    if (this.#paths.length === 0) return;
    const positions = await this.#read(from);
    const last = this.#last;
    const moved = this.#paths.flatMap((path, index) =>
      last && last.values[index] === positions.values[index] && last.called[index] === positions.called[index]
        ? []
        : [{ path, index }],
    );
    if (moved.length > 0) {
      await to.prepared(
        `select count(setval(s.name::regclass, s.value, s.called))
         from unnest($1::text[], $2::int8[], $3::bool[]) as s(name, value, called)`,
        [
          moved.map(({ path }) => quotePath(path)),
          moved.map(({ index }) => positions.values[index]),
          moved.map(({ index }) => positions.called[index]),
        ],
      );
    }
    this.#last = positions;
  }

  async #read(from: Connection): Promise<Positions> {
    const text = this.#paths
      .map((path, index) => `select ${index} as i, last_value, is_called from ${quotePath(path)}`)
      .join(' union all ');
    const rows = await from.prepared<{ i: number; last_value: string; is_called: boolean }>(text);
    const values: string[] = [];
    const called: boolean[] = [];
    for (const row of rows) {
      values[row.i] = row.last_value;
      called[row.i] = row.is_called;
    }
    return { values, called };
  }
}
