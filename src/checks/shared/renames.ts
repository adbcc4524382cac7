import type { Path } from '../../core/database/catalog.ts';
import type { Expectations } from '../../core/playbook.ts';
import { parsePath } from '../../util/sql.ts';
import { keyOf } from './names.ts';

/** What `expect.renamed` says, ready to be asked. Paths are of schemas, objects in a schema, or parts of these. */
export interface Renames {
  /** Where an object of blue is to be found on green. */
  path(blue: Path): Path;
  /** New names that a name in a definition may have. */
  readonly words: ReadonlyMap<string, ReadonlySet<string>>;
}

export function readRenames(expect: Expectations): Renames {
  const renamed = new Map<string, Path>();
  const words = new Map<string, Set<string>>();
  for (const [from, to] of Object.entries(expect.renamed)) {
    const [before, after] = [parsePath(from), parsePath(to)];
    if (!before || !after) continue;
    // The new name may be written whole or by its last part: `public.a.x: public.a.y` or `public.a.x: y`.
    const target =
      before.length === 2 && after.length === 2 ? after : [...before.slice(0, -1), after.at(-1)!];
    renamed.set(keyOf(before), target);
    before.forEach((name, index) => {
      if (name === target[index]) return;
      words.set(name, (words.get(name) ?? new Set()).add(target[index]!));
    });
  }
  const path = (blue: Path): Path => {
    const object = renamed.get(keyOf(blue.slice(0, 2))) ?? blue.slice(0, 2);
    const schema = renamed.get(keyOf(blue.slice(0, 1)))?.[0];
    const parent = schema !== undefined && object[0] === blue[0] ? [schema, ...object.slice(1)] : object;
    if (blue.length < 3) return blue.length < 2 ? [schema ?? blue[0]!] : parent;
    return [...parent, renamed.get(keyOf(blue.slice(0, 3)))?.at(-1) ?? blue[2]!, ...blue.slice(3)];
  };
  return { path, words };
}

// Quoted identifiers, string constants, words, and any other sign by itself.
const TOKEN = /"(?:[^"]|"")*"|'(?:[^']|'')*'|[\p{L}_][\p{L}\p{N}_$]*|\d[\w.]*|[^\s]/gu;

/** The words of a definition; an identifier in quotes is the same as without. */
export const tokens = (definition: string): string[] =>
  (definition.match(TOKEN) ?? []).map((token) =>
    token.startsWith('"') && token.length > 2 ? token.slice(1, -1).replaceAll('""', '"') : token,
  );

/** Whether green's definition is blue's, but for names that were renamed. */
export function sameDefinition(blue: string, green: string, { words }: Renames): boolean {
  if (blue === green) return true;
  if (words.size === 0) return false;
  const [before, after] = [tokens(blue), tokens(green)];
  let next = 0;
  for (const token of before) {
    const found = after[next];
    if (found === undefined) return false;
    next += 1;
    if (token === found) continue;
    if (words.get(token)?.has(found)) {
      // A view goes on giving a renamed column its old name: `tier_name AS plan`.
      if (after[next]?.toUpperCase() === 'AS' && after[next + 1] === token) next += 2;
      continue;
    }
    const constants = token.startsWith("'") && found.startsWith("'") && token.length > 2;
    if (!constants || !sameDefinition(token.slice(1, -1), found.slice(1, -1), { words } as Renames))
      return false;
  }
  return next === after.length;
}
