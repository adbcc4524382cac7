import { RefusedError, UsageError } from '../../../core/errors.ts';
import type { Model, SourceTable } from '../model.ts';
import { Places, shown, type Place } from './places.ts';
import { familyOf, mostOf, type Mask } from './shapes.ts';
import { kindOf, looksPersonal } from './words.ts';

/** Names of columns, as they were typed. */
export interface Wishes {
  readonly mask: readonly string[];
  readonly keep: readonly string[];
}

/** Masks of a table's columns, by their names. */
export type Masks = ReadonlyMap<SourceTable, ReadonlyMap<string, Mask>>;

/**
 * Chooses the columns that are masked: those whose names look like personal data, those that are wished, and whatever
 * foreign keys and inheritance tie to them, without those that are kept. Throws UsageError for names that are no columns,
 * and RefusedError where no mask would do.
 */
export function chooseMasks(model: Model, wishes: Wishes): Masks {
  const places = new Places(model);
  const wished = new Set(wishes.mask.map((name) => wish(places, name)));
  const kept = new Set(wishes.keep.map((name) => places.named('--keep', name)));
  const masks = new Map([...model.tables.values()].map((table) => [table, new Map<string, Mask>()]));
  const hopeless = new Set<string>();
  for (const group of places.groups()) {
    const heads = [...new Set(group.map((place) => places.head(place)))];
    const hits = heads.filter((head) => wished.has(head) || (!kept.has(head) && looks(head, places)));
    if (hits.length === 0) continue;
    const half = heads.find((head) => kept.has(head));
    if (half) refuseHalf(half, hits[0]!);
    const mask = maskOf(group, hits);
    for (const place of group) {
      masks.get(place.table)!.set(place.column.name, mask);
      if (!isPossible(place, mask, heads.length > 1)) hopeless.add(shown(places.head(place)));
    }
  }
  if (hopeless.size > 0)
    throw new RefusedError('there are columns for which there is no mask', {
      detail: [...hopeless].join('\n'),
      hint: `where they hold nothing personal, say so: --keep ${[...hopeless].join(',')}`,
    });
  return masks;
}

function wish(places: Places, name: string): Place {
  const place = places.named('--mask', name);
  if (place.column.generated)
    throw new UsageError(`--mask names ${name}, which the server makes of other columns`, {
      hint: 'name those that it is made of',
    });
  return place;
}

/** By its name. Numbers and uuids that refer to another table are no data of their own. */
function looks(place: Place, places: Places): boolean {
  const { table, column } = place;
  if (column.generated || column.kind === 'bool') return false;
  const refers = places.isReference(place) && ['integer', 'uuid'].includes(familyOf(column));
  return !refers && looksPersonal(table.path[1], column.name) !== undefined;
}

function refuseHalf(kept: Place, masked: Place): never {
  throw new UsageError(
    kept === masked
      ? `${shown(kept)} is to be masked and to be kept`
      : `--keep names ${shown(kept)}, but ${shown(masked)} is masked, and a foreign key ties them together`,
    { hint: 'name both of them in --keep, or neither' },
  );
}

/** One for all of a group: equal values must stay equal. */
function maskOf(group: readonly Place[], hits: readonly Place[]): Mask {
  const families = new Set(group.map(({ column }) => familyOf(column)));
  const kinds = hits.map(
    ({ table, column }) => looksPersonal(table.path[1], column.name) ?? kindOf(column.name),
  );
  const limits = group.flatMap(({ column }) => mostOf(column) ?? []);
  return {
    kind: kinds.find((kind) => kind !== 'plain') ?? 'plain',
    family: families.size === 1 ? [...families][0]! : 'none',
    most: limits.length === 0 ? undefined : Math.min(...limits),
    folds: group.some(({ column }) => column.kind === 'citext'),
  };
}

/** Where there is only NULL, it must be allowed, and nothing may have to be equal to it. */
const isPossible = ({ column }: Place, { family }: Mask, tied: boolean): boolean =>
  !(column.generated && tied) && (family !== 'none' || (column.nullable && !tied));
