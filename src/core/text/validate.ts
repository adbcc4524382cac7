import { z } from 'zod';
import type { KeyPath, Mistakes, Place } from './mistakes.ts';
import { nearest, suggestion } from './suggest.ts';
import type { Tree } from './tree.ts';
import { wording } from './wording.ts';

type Issue = z.core.$ZodIssue;

/** What a walk along a key path came to: the tree, or the last one on the way when the rest is not there. */
interface Found {
  readonly tree: Tree;
  /** The key under which that tree stands. */
  readonly key: Place | undefined;
  readonly missing: string | undefined;
}

/** What a tree is worth. */
export interface Worth {
  readonly mistakes: Mistakes;
  /** Nothing more is said about these. */
  readonly broken: ReadonlySet<Tree>;
  /** The plain value; text that came out of references is read as a number or a truth value in some places. */
  value(retyped: ReadonlySet<Tree>): unknown;
}

/**
 * Validates a tree with a zod schema. Gives what the schema gives, or undefined after it has added the mistakes,
 * each at its place and with its whole path.
 */
export function validateTree<T>(
  schema: z.ZodType<T>,
  tree: Tree,
  path: KeyPath,
  worth: Worth,
  key?: Place,
): T | undefined {
  const attempt = (retyped: ReadonlySet<Tree>) =>
    schema.safeParse(worth.value(retyped), {
      error: (issue) =>
        issue.code === 'unrecognized_keys' ? KNOWN + keysOf(issue.inst).join('\n') : wording(issue),
    });
  let result = attempt(new Set());
  if (result.success) return result.data;
  const retyped = new Set(flat(result.error.issues).flatMap((issue) => retypable(tree, issue)));
  if (retyped.size > 0) result = attempt(retyped);
  if (result.success) return result.data;
  new Reporter(tree, path, worth, key).report(result.error.issues);
  return undefined;
}

/** An unknown key's message carries what is known instead: the schema is at hand only where the message is made. */
const KNOWN = 'known\n';

const keysOf = (schema: unknown): string[] =>
  schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];

/** A reference gives text; where a number or a truth value is wanted, it is read as one. */
function retypable(tree: Tree, issue: Issue): Tree[] {
  if (issue.code !== 'invalid_type' && issue.code !== 'invalid_value') return [];
  const { tree: found, missing } = find(tree, issue.path);
  if (missing !== undefined || found.kind !== 'scalar' || !found.plain) return [];
  return typeof found.value === 'string' && found.value.includes('${') ? [found] : [];
}

function find(tree: Tree, path: readonly PropertyKey[]): Found {
  let found: Found = { tree, key: undefined, missing: undefined };
  for (const part of path) {
    const { tree } = found;
    const entry = tree.kind === 'map' ? tree.entries.get(String(part)) : undefined;
    const item = tree.kind === 'list' ? tree.items[Number(part)] : undefined;
    if (entry) found = { tree: entry.tree, key: entry.key, missing: undefined };
    else if (item) found = { tree: item, key: undefined, missing: undefined };
    else return { ...found, missing: String(part) };
  }
  return found;
}

/** The issues of unions' branches: of those that fit in kind, the one with the fewest. */
function flat(issues: readonly Issue[]): Issue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
    const fitting = issue.errors.filter(
      (branch) => !branch.some((inner) => inner.path.length === 0 && inner.code === 'invalid_type'),
    );
    const [best] = fitting.sort((a, b) => a.length - b.length);
    if (!best) {
      const first = issue.errors.flat().filter((inner) => inner.path.length === 0);
      const message = [
        ...new Set(first.map((inner) => inner.message.replace(/; put it in quotes$/, ''))),
      ].join(', or ');
      return [{ code: 'custom', path: issue.path, message, input: issue.input }];
    }
    return flat(best).map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
  });
}

class Reporter {
  readonly #tree: Tree;
  readonly #path: KeyPath;
  readonly #worth: Worth;
  readonly #key: Place | undefined;

  constructor(tree: Tree, path: KeyPath, worth: Worth, key: Place | undefined) {
    this.#tree = tree;
    this.#path = path;
    this.#worth = worth;
    this.#key = key;
  }

  report(issues: readonly Issue[]): void {
    const all = flat(issues);
    const meant = new Set<string>();
    for (const issue of all) if (issue.code === 'unrecognized_keys') this.#unknownKeys(issue, meant);
    for (const issue of all) if (issue.code !== 'unrecognized_keys') this.#other(issue, meant);
  }

  #add(place: Place, path: readonly PropertyKey[], message: string): void {
    const inner = path.map((part) => (typeof part === 'symbol' ? String(part) : part));
    this.#worth.mistakes.add(place, [...this.#path, ...inner], message);
  }

  #unknownKeys(issue: Extract<Issue, { code: 'unrecognized_keys' }>, meant: Set<string>): void {
    const ours = issue.message.startsWith(KNOWN);
    const known = ours ? issue.message.slice(KNOWN.length).split('\n').filter(Boolean) : [];
    const { tree } = find(this.#tree, issue.path);
    for (const key of issue.keys) {
      const place = (tree.kind === 'map' && tree.entries.get(key)?.key) || tree.place;
      this.#add(place, [...issue.path, key], ours ? `unknown key; ${suggestion(key, known)}` : issue.message);
      const near = nearest(key, known);
      if (near !== undefined) meant.add(JSON.stringify([...issue.path, near]));
    }
  }

  #other(issue: Issue, meant: ReadonlySet<string>): void {
    const { tree, key, missing } = find(this.#tree, issue.path);
    if (missing !== undefined) {
      // Misspelt rather than missing: the unknown key has been named already.
      if (meant.has(JSON.stringify(issue.path))) return;
      const message = issue.message.startsWith('missing') ? issue.message : 'missing; it has to be written';
      this.#add(key ?? this.#key ?? beginning(tree), issue.path, message);
      return;
    }
    if (tree.kind === 'scalar' && this.#worth.broken.has(tree)) return;
    if (issue.code === 'invalid_key') {
      for (const inner of issue.issues) this.#add(key ?? tree.place, issue.path, inner.message);
      return;
    }
    this.#add(
      placeToShow(tree, key),
      issue.path,
      emptied(tree) ? `has no value; ${issue.message}` : issue.message,
    );
  }
}

const emptied = (tree: Tree): boolean => tree.kind === 'scalar' && tree.value === null && tree.plain;

/** A map or a list is shown by its key or its first character: it may go on for many lines. */
function placeToShow(tree: Tree, key: Place | undefined): Place {
  if (tree.kind === 'scalar' && !emptied(tree)) return tree.place;
  return key ?? beginning(tree);
}

export const beginning = (tree: Tree): Place => ({ start: tree.place.start, end: tree.place.start + 1 });
