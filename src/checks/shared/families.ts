import type { CatalogObject, Path } from '../../core/database/catalog.ts';
import { displayPath, parsePath } from '../../util/sql.ts';
import { keyOf } from './names.ts';

const WITH_ARGUMENTS: ReadonlySet<string> = new Set(['function', 'procedure', 'aggregate', 'operator']);

/** What a playbook may call an object, the usual name first. */
export function namesOf({ kind, path }: CatalogObject): Path[] {
  if (WITH_ARGUMENTS.has(kind)) return [path.slice(0, 2), path];
  if (kind === 'index') return [path, [path[0]!, path[2]!]];
  return [path];
}

export const displayName = (path: Path): string => displayPath(path.filter((part) => part !== ''));

/** How a database's objects hang together. */
export interface Family {
  /** The partitioned table at the top, for the path of a partition or of something on it. */
  root(path: Path): Path | undefined;
  /** The same column on the partitioned table. */
  inherited(object: CatalogObject): Path[];
  /** The tables with which it goes: its own, those above it, or the one that owns it. */
  ancestors(object: CatalogObject): Path[];
  /** Columns that take it along when they go, if its definition speaks of them. */
  columns(object: CatalogObject): Path[];
  isSchema(path: Path): boolean;
  isKnown(path: Path): boolean;
}

export function family(objects: readonly CatalogObject[]): Family {
  const parents = new Map<string, Path>();
  const columns = new Map<string, Path[]>();
  const known = new Set<string>();
  const schemas = new Set<string>();
  for (const object of objects) {
    for (const name of namesOf(object)) known.add(keyOf(name));
    if (object.kind === 'schema') schemas.add(object.path[0]!);
    if (object.kind === 'column') {
      const table = keyOf(object.path.slice(0, 2));
      columns.set(table, [...(columns.get(table) ?? []), object.path]);
    }
    const parent = /^partition of ((?:"(?:[^"]|"")*"|[^\s".]+)\.(?:"(?:[^"]|"")*"|[^\s".]+)) /m.exec(
      object.definition,
    )?.[1];
    const path = object.kind.endsWith('table') && parent !== undefined ? parsePath(parent) : undefined;
    if (path) parents.set(keyOf(object.path), path);
  }
  const above = (table: Path): Path[] => {
    const parent = parents.get(keyOf(table));
    return parent ? [parent, ...above(parent)] : [];
  };
  return {
    root: (path) => above(path.slice(0, 2)).at(-1),
    inherited: ({ kind, path }) =>
      kind === 'column' ? above(path.slice(0, 2)).map((table) => [...table, path[2]!]) : [],
    ancestors: (object) => {
      const column = owner(object);
      if (column) return [column, column.slice(0, 2)];
      const table = object.path.slice(0, 2);
      return object.path.length > 2 ? [table, ...above(table)] : above(table);
    },
    columns: ({ kind, path }) => {
      if (path.length < 3 || kind === 'column' || WITH_ARGUMENTS.has(kind)) return [];
      const table = path.slice(0, 2);
      const own = columns.get(keyOf(table)) ?? [];
      return [...own, ...above(table).flatMap((t) => own.map((column) => [...t, column[2]!]))];
    },
    isSchema: (path) => path.length === 1 && schemas.has(path[0]!),
    isKnown: (path) => known.has(keyOf(path)),
  };
}

/** The column that owns a sequence. */
export function owner(object: CatalogObject): Path | undefined {
  const text = object.kind === 'sequence' ? /^owned by (.*)$/m.exec(object.definition)?.[1] : undefined;
  return text === undefined ? undefined : parsePath(text);
}
