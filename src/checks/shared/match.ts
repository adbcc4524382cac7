import type { Catalog, Column, HashedColumn, Path, Table } from '../../core/database/catalog.ts';
import type { Expectations } from '../../core/playbook.ts';
import { meantBy } from '../../util/sql.ts';
import { keyOf, readName } from './names.ts';
import { readRenames, type Renames } from './renames.ts';

export interface TablePair {
  readonly blue: Table;
  readonly green: Table;
}

export interface TableMatch {
  readonly renames: Renames;
  /** In blue's order. */
  readonly pairs: readonly TablePair[];
  /** On blue, neither on green nor expected to be dropped. */
  readonly missing: readonly Table[];
  readonly dropped: readonly Table[];
}

/** What names in `expect.dropped` may mean. */
export const droppedKeys = (expect: Expectations): ReadonlySet<string> =>
  new Set(expect.dropped.flatMap(meantBy).map(keyOf));

/** Finds blue's tables on green. */
export function matchTables(
  catalogs: { readonly blue: Catalog; readonly green: Catalog },
  expect: Expectations,
): TableMatch {
  const renames = readRenames(expect);
  const dropped = droppedKeys(expect);
  const onGreen = new Map(catalogs.green.tables.map((table) => [keyOf(table.path), table]));
  const found = { pairs: [] as TablePair[], missing: [] as Table[], dropped: [] as Table[] };
  for (const blue of catalogs.blue.tables) {
    const green = onGreen.get(keyOf(renames.path(blue.path)));
    if (green) found.pairs.push({ blue, green });
    else if (dropped.has(keyOf(blue.path)) || dropped.has(blue.path[0])) found.dropped.push(blue);
    else found.missing.push(blue);
  }
  return { renames, ...found };
}

export interface ColumnPair {
  readonly path: Path;
  readonly blue: HashedColumn;
  readonly green: HashedColumn;
}

export interface ColumnMatch {
  /** In the order of blue's names, which a migration's column order does not touch. */
  readonly pairs: readonly ColumnPair[];
  readonly missing: readonly Path[];
  readonly dropped: readonly Path[];
  readonly ignored: readonly Path[];
}

/** What the playbook says of columns. */
export interface ColumnWords {
  readonly renames: Renames;
  readonly dropped: ReadonlySet<string>;
  readonly ignored: ReadonlySet<string>;
  /** SQL over blue's columns, by the key of green's column that is held against it. */
  readonly as: ReadonlyMap<string, string>;
}

/** Finds a table's columns on green, and how each pair is hashed so that both sides agree. */
export function matchColumns(table: TablePair, words: ColumnWords): ColumnMatch {
  const { renames, dropped, ignored, as } = words;
  const onGreen = new Map(table.green.columns.map((column) => [column.name, column]));
  const match = {
    pairs: [] as ColumnPair[],
    missing: [] as Path[],
    dropped: [] as Path[],
    ignored: [] as Path[],
  };
  const byName = [...table.blue.columns].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const column of byName) {
    const path = [...table.blue.path, column.name];
    const there = renames.path(path);
    const green = onGreen.get(there.at(-1)!);
    if (ignored.has(keyOf(path)) || ignored.has(keyOf(there))) match.ignored.push(path);
    else if (green && as.has(keyOf([...table.green.path, green.name]))) continue;
    else if (green) match.pairs.push({ path, ...hashed(column, green) });
    else if (dropped.has(keyOf(path))) match.dropped.push(path);
    else match.missing.push(path);
  }
  for (const { name } of table.green.columns) {
    const path = [...table.green.path, name];
    const expression = as.get(keyOf(path));
    if (expression === undefined) continue;
    const column = { name, as: 'expression', nullable: true };
    match.pairs.push({ path, blue: { ...column, expression }, green: column });
  }
  return match;
}

/** One hash fits both: the type's own if they have one type, that of the text otherwise. */
function hashed(blue: Column, green: Column): { blue: HashedColumn; green: HashedColumn } {
  const as = blue.type === green.type ? blue.type : 'text';
  const nullable = blue.nullable || green.nullable;
  return { blue: { name: blue.name, as, nullable }, green: { name: green.name, as, nullable } };
}

export interface Ignored {
  readonly keys: ReadonlySet<string>;
  /** Names that were understood, and those that match nothing, as they were written. */
  readonly names: readonly string[];
  readonly unknown: readonly string[];
}

/** Reads names to ignore, of tables (2 parts) or columns (3); without a schema, `public` is meant. */
export function readIgnored(names: readonly string[], parts: 2 | 3, known: () => readonly Path[]): Ignored {
  // Names of many tables are many: made where somebody asks.
  const knownKeys = new Set(names.length === 0 ? [] : known().map(keyOf));
  const keys = new Set<string>();
  const unknown: string[] = [];
  for (const name of names) {
    const path = readName(name, parts);
    if (path && knownKeys.has(keyOf(path))) keys.add(keyOf(path));
    else unknown.push(name);
  }
  return { keys, names: names.filter((name) => !unknown.includes(name)), unknown };
}

/** Every column of both sides, for `readIgnored` and for suggestions. */
export const columnPaths = (tables: readonly Table[]): Path[] =>
  tables.flatMap((table) => table.columns.map((column) => [...table.path, column.name]));

/** The key's columns, when all of them are compared. */
export function columnsOfKey({ blue }: TablePair, columns: readonly ColumnPair[]): ColumnPair[] | undefined {
  const found = blue.key.flatMap((name) => columns.find((pair) => pair.path.at(-1) === name) ?? []);
  return found.length > 0 && found.length === blue.key.length ? found : undefined;
}
