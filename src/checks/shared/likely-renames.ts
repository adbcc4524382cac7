import type { CatalogObject } from '../../core/database/catalog.ts';
import { displayName } from './families.ts';
import { keyOf } from './names.ts';
import type { Difference } from './schema-diff.ts';

/**
 * What is missing and what is new with the same definition in the same place looks like a rename. Naming it `dropped`
 * would be accepted too, and its values would not be compared: so the rename is what is suggested.
 */
export function likelyRenames(
  missing: readonly Difference[],
  added: readonly CatalogObject[],
  blue: readonly CatalogObject[],
): { readonly from: Difference; readonly to: CatalogObject }[] {
  const free = new Set(added);
  return missing.flatMap((from) => {
    const { kind, path, definition } = from.blue;
    if (kind !== 'table' && kind !== 'column') return [];
    const to = [...free].find(
      (object) =>
        object.kind === kind &&
        keyOf(object.path.slice(0, -1)) === keyOf(path.slice(0, -1)) &&
        (kind === 'column'
          ? object.definition === definition
          : columnsOf(object, added) === columnsOf(from.blue, blue)),
    );
    if (!to) return [];
    free.delete(to);
    return [{ from, to }];
  });
}

/** Names and types of a table's columns: a table's own definition says too little to know it again. */
const columnsOf = ({ path }: CatalogObject, all: readonly CatalogObject[]): string =>
  all
    .filter((object) => object.kind === 'column' && keyOf(object.path.slice(0, -1)) === keyOf(path))
    .map((column) => `${column.path.at(-1)}\0${column.definition}`)
    .sort()
    .join('\n');

/** `{ public.shops.plan: public.shops.tier_name }` */
export const renameMap = (renames: ReturnType<typeof likelyRenames>): string =>
  `{ ${renames.map(({ from, to }) => `${yamlKey(displayName(from.blue.path))}: ${yamlKey(displayName(to.path))}`).join(', ')} }`;

const yamlKey = (name: string): string => (/^[\w.]+$/.test(name) ? name : `'${name.replaceAll("'", "''")}'`);
