import type { Tree } from './tree.ts';

/** No key at all: zod passes it over in silence where keys are free. */
export const PROTOTYPE = '__proto__';

/** Without a prototype, so that every key is just a key. */
export function plainMap<T>(
  entries: ReadonlyMap<string, T>,
  of: (entry: T, key: string) => unknown,
): Record<string, unknown> {
  const result = Object.create(null) as Record<string, unknown>;
  for (const [key, entry] of entries) if (key !== PROTOTYPE) result[key] = of(entry, key);
  return result;
}

/** The plain value of a tree, references and all. */
export function rawValue(tree: Tree): unknown {
  if (tree.kind === 'list') return tree.items.map(rawValue);
  if (tree.kind === 'map') return plainMap(tree.entries, (entry) => rawValue(entry.tree));
  return tree.value;
}
