import type { HashedColumn, Path, Table } from '../../../core/database/catalog.ts';
import { quoteLiteral, quotePath } from '../../../util/sql.ts';
import type { Ask } from '../catalog/catalog.ts';

/** Bytes of a table that is worth a look at its statistics before it is read. */
const LARGE = 16 * 1024 * 1024;

/** What follows FROM to read tables; what was told of them need not be asked again. */
export class Sources {
  readonly #partBytes: number;
  readonly #known = new Map<string, Table>();
  readonly #filled = new Map<string, boolean>();

  /** Larger tables are read in parts of that size. */
  constructor(partBytes: number) {
    this.#partBytes = partBytes;
  }

  know(tables: readonly Table[]): void {
    this.#known.clear();
    this.#filled.clear();
    for (const table of tables) this.#known.set(quotePath(table.path), table);
  }

  /** Inheritance children are tables in their own right: without ONLY their rows would count twice. */
  async whole(ask: Ask, path: Path): Promise<string> {
    const name = quotePath(path);
    const partitioned = this.#known.get(name)?.partitioned ?? (await isPartitioned(ask, name));
    return partitioned ? name : `only ${name}`;
  }

  /**
   * What to read one after the other for the whole of a table: itself or, where it is large, its partitions and ranges of
   * their blocks. The last range is open, for what was added since it was measured.
   */
  async parts(ask: Ask, path: Path): Promise<string[]> {
    const bytes = this.#known.get(quotePath(path))?.bytes;
    if (bytes !== undefined && bytes <= this.#partBytes) return [await this.whole(ask, path)];
    const parts = await ranges(ask, path, this.#partBytes);
    // A partitioned table without partitions.
    return parts.length > 0 ? parts : [await this.whole(ask, path)];
  }

  /** Whether hardly a row of a large table has a NULL in one of the columns, as far as one can tell without reading it. */
  async filled(ask: Ask, path: Path, columns: readonly HashedColumn[]): Promise<boolean> {
    const name = quotePath(path);
    const nullable = columns.filter((column) => column.nullable);
    if ((this.#known.get(name)?.bytes ?? 0) < LARGE || nullable.length === 0) return false;
    if (nullable.some(({ expression }) => expression !== undefined)) return false;
    const found = this.#filled.get(name) ?? (await isFilled(ask, path, nullable));
    this.#filled.set(name, found);
    return found;
  }
}

/** Whether the planner's statistics are there, and know of no NULL; those of a table's partitions, where it has some. */
async function isFilled(ask: Ask, path: Path, columns: readonly HashedColumn[]): Promise<boolean> {
  const name = `${quoteLiteral(quotePath(path))}::regclass`;
  const names = columns.map((column) => quoteLiteral(column.name)).join(', ');
  // Some take it from everybody.
  const [may] = await ask(`select has_table_privilege('pg_catalog.pg_stats', 'select') as may`);
  if (may?.['may'] !== 't') return false;
  const [row] = await ask(
    `select count(s.tablename) > 0 and bool_and(coalesce(s.null_frac, 0) = 0) as filled
     from (select relid from pg_partition_tree(${name}) where isleaf union select ${name}::oid) t
     join pg_class c on c.oid = t.relid join pg_namespace n on n.oid = c.relnamespace
     left join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname in (${names})
     where c.relkind <> 'p'`,
  );
  return row?.['filled'] === 't';
}

async function isPartitioned(ask: Ask, name: string): Promise<boolean> {
  const [row] = await ask(
    `select relkind = 'p' as partitioned from pg_class where oid = ${quoteLiteral(name)}::regclass`,
  );
  return row?.['partitioned'] === 't';
}

async function ranges(ask: Ask, path: Path, most: number): Promise<string[]> {
  const name = `${quoteLiteral(quotePath(path))}::regclass`;
  // pg_partition_tree knows nothing of a table without partitions.
  const leaves = await ask(
    `select c.oid::regclass::text as name, c.relkind = 'r' and a.amname = 'heap' as ranges,
       coalesce(pg_relation_size(c.oid), 0) as bytes, current_setting('block_size') as block
     from (select relid from pg_partition_tree(${name}) where isleaf union select ${name}::oid) t
     join pg_class c on c.oid = t.relid left join pg_am a on a.oid = c.relam where c.relkind <> 'p'`,
  );
  return leaves.flatMap((leaf) => {
    const source = `${leaf['ranges'] === 't' ? 'only ' : ''}${leaf['name']}`;
    const blocks = Math.max(1, Math.floor(most / Number(leaf['block'])));
    const count =
      leaf['ranges'] === 't' ? Math.ceil(Number(leaf['bytes']) / Number(leaf['block']) / blocks) : 1;
    if (count <= 1) return [source];
    return Array.from({ length: count }, (_, index) => {
      const from = `ctid >= '(${index * blocks},0)'`;
      return `${source} where ${index === count - 1 ? from : `${from} and ctid < '(${(index + 1) * blocks},0)'`}`;
    });
  });
}
