import { plainMap, PROTOTYPE, rawValue } from '../../core/text/plain.ts';
import { interpolate, registerSecrets, type Variables } from './interpolate.ts';
import type { KeyPath, Mistakes, Place } from '../../core/text/mistakes.ts';
import type { Scalar, Tree } from '../../core/text/tree.ts';

/** What the parts of the parser share while they read one playbook. */
export interface Reading {
  readonly mistakes: Mistakes;
  readonly variables: Variables;
  /** Scalars whose references have no value: nothing else is said about them. */
  readonly broken: Set<Scalar>;
}

export interface Manner {
  /** Left as it is written. */
  readonly verbatim?: ReadonlySet<Tree>;
  /** May hold secrets: what is put in is registered for redaction. */
  readonly secret?: ReadonlySet<Tree>;
  /** Text that came out of references, where a number or a truth value is wanted. */
  readonly retyped?: ReadonlySet<Tree>;
}

/** The plain value of a tree, references replaced. Maps have no prototype, so that every key is just a key. */
export function evaluate(
  tree: Tree,
  path: KeyPath,
  reading: Reading,
  manner: Manner = {},
  secret = false,
): unknown {
  if (manner.verbatim?.has(tree)) return rawValue(tree);
  const inSecret = secret || manner.secret?.has(tree) === true;
  const inner = (part: Tree, key: string | number): unknown =>
    evaluate(part, [...path, key], reading, manner, inSecret);
  if (tree.kind === 'list') return tree.items.map(inner);
  if (tree.kind === 'map') {
    const inherited = tree.entries.get(PROTOTYPE);
    if (inherited) reading.mistakes.add(inherited.key, [...path, PROTOTYPE], 'unknown key');
    return plainMap(tree.entries, (entry, key) => inner(entry.tree, key));
  }
  const text = interpolated(tree, path, reading, inSecret);
  return manner.retyped?.has(tree) ? retype(String(text)) : text;
}

function interpolated(tree: Scalar, path: KeyPath, reading: Reading, secret: boolean): Scalar['value'] {
  if (typeof tree.value !== 'string' || !tree.value.includes('${')) return tree.value;
  const result = interpolate(tree.value, reading.variables);
  registerSecrets(result, secret);
  for (const { index, message } of result.faults) {
    reading.mistakes.add(placeOfReference(tree, index, reading.mistakes), path, message);
    reading.broken.add(tree);
  }
  return result.text;
}

/** Where the `${` at an index of a scalar's value stands in the file; quotes, escapes and line folds shift it. */
function placeOfReference(tree: Scalar, index: number, mistakes: Mistakes): Place {
  const count = String(tree.value).slice(0, index).split('${').length;
  const source = mistakes.source(tree.place);
  let at = -1;
  for (let n = 0; n < count; n += 1) {
    at = source.indexOf('${', at + 1);
    if (at === -1) return tree.place;
  }
  const close = source.indexOf('}', at);
  const start = tree.place.start + at;
  return { start, end: close === -1 ? start + 2 : tree.place.start + close + 1 };
}

/** What YAML would make of a plain text, where it is a number or a truth value. */
function retype(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(text) ? Number(text) : text;
}
