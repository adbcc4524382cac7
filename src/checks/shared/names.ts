import leven from 'leven';
import type { Path } from '../../core/database/catalog.ts';
import { displayPath, parsePath } from '../../util/sql.ts';

export const keyOf = (path: Path): string => path.join('\0');

/** Names that a person probably meant, the nearest first; a schema that was left out does not count. */
export function nearNames(name: string, known: Iterable<string>): string[] {
  const limit = Math.max(2, Math.floor(name.length / 4));
  const spellings = [name, `public.${name}`];
  const near = [...new Set(known)]
    .map((candidate) => ({
      candidate,
      distance: Math.min(...spellings.map((text) => leven(text, candidate, { maxDistance: limit + 1 }))),
    }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance);
  return near
    .filter(({ distance }) => distance === near[0]!.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

/** `perhaps public.shops.plan is meant`, for a name that matches nothing. */
export function didYouMean(name: string, known: Iterable<Path>): string {
  const near = nearNames(name, [...known].map(displayPath));
  return near.length > 0
    ? `perhaps ${near.join(' or ')} is meant`
    : 'names are written as schema.table.column';
}

/** Reads a name of a table or column; one part fewer than `parts` means the schema `public`. */
export function readName(text: string, parts: number): Path | undefined {
  const path = parsePath(text);
  if (path?.length === parts) return path;
  return path?.length === parts - 1 ? ['public', ...path] : undefined;
}
