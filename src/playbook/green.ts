import { databaseName } from './keys/definition.ts';
import { databaseOfUrl } from './blue.ts';
import { evaluate, type Reading } from './values/evaluate.ts';
import type { MapTree } from '../core/text/tree.ts';
import { validate } from './validate.ts';

export interface Green {
  /** The copy's name; undefined for the default. */
  readonly name: string | undefined;
  /** Connection string of its server with references; undefined for blue's own server. */
  readonly url: string | undefined;
}

/** Reads the `green` of a playbook; undefined after it has added the mistakes. */
export function readGreen(root: MapTree, reading: Reading): Green | undefined {
  const entry = root.entries.get('green');
  if (!entry) return { name: undefined, url: undefined };
  const { tree, key } = entry;
  if (tree.kind === 'scalar' && typeof tree.value === 'string') {
    const value = String(evaluate(tree, ['green'], reading, { secret: new Set([tree]) }));
    if (reading.broken.has(tree)) return undefined;
    if (/^\s*\w+\+?\w*:\/\//.test(value)) {
      const name = databaseOfUrl(tree, ['green'], tree.value, reading);
      return name === undefined ? undefined : { name, url: tree.value };
    }
  }
  const name = validate(databaseName(), tree, ['green'], reading, {}, key);
  return name === undefined ? undefined : { name, url: undefined };
}
