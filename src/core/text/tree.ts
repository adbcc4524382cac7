import { isAlias, isMap, isScalar, isSeq, type Node, type Scalar as YamlScalar, type YAMLMap } from 'yaml';
import { unmaskReferences } from './references.ts';
import type { TextKind } from './kinds.ts';
import { quoted, type KeyPath, type Mistakes, type Place } from './mistakes.ts';

interface Extent {
  readonly place: Place;
  /** Values in it, with every alias counted as what it stands for. */
  readonly size: number;
  readonly depth: number;
}

export interface Scalar extends Extent {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  /** Not in quotes. */
  readonly plain: boolean;
}

export interface List extends Extent {
  readonly kind: 'list';
  readonly items: readonly Tree[];
}

interface Entry {
  readonly key: Place;
  readonly tree: Tree;
}

export interface MapTree extends Extent {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, Entry>;
}

/** What a text says, with its places: aliases followed, keys plain text, nothing but JSON's kinds of values. */
export type Tree = Scalar | List | MapTree;

const TAGS = /^(?:!|tag:yaml\.org,2002:(?:str|int|float|bool|null|seq|map))$/;

const placeOf = (node: Node, fallback: Place): Place =>
  node.range ? { start: node.range[0], end: node.range[1] } : fallback;

/** Turns yaml's nodes into a Tree; what YAML allows and we do not is a mistake. */
export class TreeBuilder {
  readonly #mistakes: Mistakes;
  readonly #kind: TextKind;
  readonly #anchors = new Map<string, Tree>();

  constructor(mistakes: Mistakes, kind: TextKind) {
    this.#mistakes = mistakes;
    this.#kind = kind;
  }

  build(node: Node | null | undefined, around: Place, path: KeyPath): Tree {
    if (!node) return { kind: 'scalar', value: null, plain: true, place: around, size: 1, depth: 1 };
    const place = placeOf(node, around);
    if (isAlias(node)) return this.#alias(node.source, place, path);
    const { tag } = node as { tag?: string };
    if (tag !== undefined && !TAGS.test(tag))
      this.#mistakes.add(place, path, `the tag ${quoted(tag)} is not supported; write a plain value`);
    const tree = this.#content(node, place, path);
    const { anchor } = node as { anchor?: string };
    if (anchor !== undefined) this.#anchors.set(anchor, tree);
    return tree;
  }

  #content(node: Node, place: Place, path: KeyPath): Tree {
    if (isScalar(node)) return scalar(node, place);
    if (isMap(node)) return this.#map(node, place, path);
    const items = isSeq(node)
      ? node.items.map((item, index) => this.build(item as Node, place, [...path, index]))
      : [];
    return this.#measured({ kind: 'list', items, place }, items, path);
  }

  #map(node: YAMLMap, place: Place, path: KeyPath): Tree {
    const entries = new Map<string, Entry>();
    for (const pair of node.items) {
      const keyNode = pair.key as Node | null;
      const key = keyNode ? placeOf(keyNode, place) : place;
      if (keyNode && !isScalar(keyNode)) {
        this.#mistakes.add(key, path, 'a key must be plain text');
        continue;
      }
      const name = keyNode ? nameOf(keyNode) : '';
      const tree = this.build(pair.value as Node | null, { start: key.start, end: key.end }, [...path, name]);
      if (entries.has(name)) this.#mistakes.add(key, [...path, name], 'the same key stands here twice');
      else entries.set(name, { key, tree });
    }
    const trees = [...entries.values()].map((entry) => entry.tree);
    return this.#measured({ kind: 'map', entries, place }, trees, path);
  }

  #alias(name: string, place: Place, path: KeyPath): Tree {
    const target = this.#anchors.get(name);
    if (target) return target;
    this.#mistakes.add(place, path, `"*${name.slice(0, 60)}" refers to no anchor that ends before it`);
    return { kind: 'scalar', value: null, plain: true, place, size: 1, depth: 1 };
  }

  /** Adds up sizes while aliases are still shared, so that a bomb is seen before it goes off. */
  #measured(
    tree: Omit<List, 'size' | 'depth'> | Omit<MapTree, 'size' | 'depth'>,
    parts: readonly Tree[],
    path: KeyPath,
  ): Tree {
    const size = parts.reduce((sum, part) => sum + part.size, 1);
    const depth = parts.reduce((most, part) => Math.max(most, part.depth), 0) + 1;
    const { noun, limits } = this.#kind;
    if (size <= limits.values && depth <= limits.depth) return { ...tree, size, depth };
    const what =
      size > limits.values ? `more than ${limits.values} values` : `more than ${limits.depth} levels`;
    this.#mistakes.add(tree.place, path, `${what}, aliases included: this is no ${noun}`);
    return { kind: 'scalar', value: null, plain: true, place: tree.place, size: 1, depth: 1 };
  }
}

function scalar(node: YamlScalar, place: Place): Scalar {
  const value = typeof node.value === 'string' ? unmaskReferences(node.value) : node.value;
  const plain = node.type === 'PLAIN';
  const kept =
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null
      ? value
      : (node.source ?? '');
  return { kind: 'scalar', value: kept, plain, place, size: 1, depth: 1 };
}

/** A key as it is written: `1`, `yes` and `null` are words there. */
const nameOf = (node: YamlScalar): string =>
  unmaskReferences(typeof node.value === 'string' ? node.value : (node.source ?? String(node.value)));
