import { UsageError } from '../../../core/errors.ts';
import { didYouMean, readName } from '../../../checks/shared/names.ts';
import { displayPath } from '../../../util/sql.ts';
import type { Model, SourceColumn, SourceTable } from '../model.ts';

/** A column of a table. */
export interface Place {
  readonly table: SourceTable;
  readonly column: SourceColumn;
}

export const shown = ({ table, column }: Place): string => displayPath([...table.path, column.name]);

/** Every column, and which of them must hold equal values: by foreign keys and by inheritance. */
export class Places {
  readonly #all = new Map<string, Place>();
  /** A place leads to another of its group, or to itself. */
  readonly #next = new Map<Place, Place>();
  /** Children of foreign keys. */
  readonly #references = new Set<Place>();

  constructor(model: Model) {
    for (const table of model.tables.values())
      for (const column of table.columns) {
        const place = { table, column };
        this.#all.set(keyOf(table.oid, column.name), place);
        this.#next.set(place, place);
      }
    for (const place of this.#all.values()) this.#tie(place, this.head(place));
    for (const { child, parent, pairs } of model.foreignKeys)
      for (const pair of pairs) {
        const from = this.#all.get(keyOf(child, pair.child))!;
        this.#references.add(this.head(from));
        this.#tie(from, this.#all.get(keyOf(parent, pair.parent))!);
      }
  }

  /** The column that was declared: that of the partitioned table, or of the table that others inherit from. */
  head(place: Place): Place {
    for (const parent of place.table.parents) {
      const above = this.#all.get(keyOf(parent, place.column.name));
      if (above) return this.head(above);
    }
    return place;
  }

  isReference(place: Place): boolean {
    return this.#references.has(this.head(place));
  }

  /** What somebody typed as `schema.table.column`. Throws UsageError when it is no column. */
  named(flag: string, name: string): Place {
    const path = readName(name, 3);
    const places = [...this.#all.values()];
    const found =
      path &&
      places.find(
        ({ table, column }) =>
          table.path[0] === path[0] && table.path[1] === path[1] && column.name === path[2],
      );
    if (found) return this.head(found);
    throw new UsageError(`${flag} names ${name}, which is no column of the database`, {
      hint: didYouMean(
        name,
        places.map(({ table, column }) => [...table.path, column.name]),
      ),
    });
  }

  groups(): Place[][] {
    const groups = new Map<Place, Place[]>();
    for (const place of this.#all.values()) {
      const last = this.#last(place);
      const group = groups.get(last) ?? [];
      group.push(place);
      groups.set(last, group);
    }
    return [...groups.values()];
  }

  #tie(one: Place, other: Place): void {
    this.#next.set(this.#last(one), this.#last(other));
  }

  #last(place: Place): Place {
    const next = this.#next.get(place)!;
    return next === place ? place : this.#last(next);
  }
}

const keyOf = (oid: string, column: string): string => `${oid} ${column}`;
