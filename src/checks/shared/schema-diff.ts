import type { Catalog, CatalogObject, Path } from '../../core/database/catalog.ts';
import type { Expectations } from '../../core/playbook.ts';
import { displayPath, parsePath } from '../../util/sql.ts';
import { displayName, family, namesOf, type Family } from './families.ts';
import { keyOf, nearNames } from './names.ts';
import { readRenames, sameDefinition, tokens, type Renames } from './renames.ts';

export interface Difference {
  readonly how: 'missing' | 'changed' | 'renamed';
  readonly blue: CatalogObject;
  readonly green: CatalogObject | undefined;
  /** What a playbook calls it. */
  readonly name: Path;
  readonly expected: boolean;
  readonly renames: Renames;
}

interface SchemaDiff {
  readonly differences: readonly Difference[];
  readonly added: readonly CatalogObject[];
  /** Names under `expect` that nothing on blue has. */
  readonly unmatched: readonly {
    readonly option: keyof Expectations;
    readonly name: string;
    readonly near: string[];
  }[];
  /** Renamed, says `expect`, to a name that nothing on green has. */
  readonly astray: readonly { readonly from: string; readonly to: string; readonly near: string[] }[];
  /** Expected to go, and still there. */
  readonly unmet: readonly string[];
}

/** A list of names under `expect`, which remembers which of them it needed. */
interface Names {
  has(object: CatalogObject): boolean;
  covers(object: CatalogObject): boolean;
}

/** What of blue is missing or changed on green, and whether `expect` says so. A pure function of both catalogues. */
export function compareSchemas(blue: Catalog, green: Catalog, expect: Expectations): SchemaDiff {
  const kin = family(blue.objects);
  const renames = withPartitions(readRenames(expect), kin);
  const lists = {
    renamed: namesIn(Object.keys(expect.renamed), kin),
    dropped: namesIn(expect.dropped, kin),
    changed: namesIn(expect.changed, kin),
  };
  const left = new Map(green.objects.map((object) => [identity(object.kind, object.path), object]));
  const greenObjects = new Map(left);
  const differences: Difference[] = [];
  const gone = new Set<string>();
  for (const object of blue.objects) {
    const path = targetPath(object, renames, greenObjects);
    const id = identity(object.kind, path);
    const there = greenObjects.get(id);
    left.delete(id);
    const add = (how: Difference['how'], expected: boolean): void => {
      differences.push({ how, blue: object, green: there, name: playbookName(object), expected, renames });
    };
    if (!there) {
      gone.add(keyOf(object.path));
      add('missing', lists.dropped.covers(object));
    } else if (!sameDefinition(object.definition, there.definition, renames))
      add('changed', lists.changed.has(object));
    else if (keyOf(path) !== keyOf(object.path) && lists.renamed.has(object)) add('renamed', true);
  }
  return {
    differences: withoutParts(differences, kin),
    added: [...left.values()],
    unmatched: unmatched(blue, expect, kin),
    astray: astray(blue, green, expect),
    unmet: unmet(expect, gone, kin, greenObjects),
  };
}

const identity = (kind: string, path: Path): string => `${kind}\0${keyOf(path)}`;

/** What people write: an index is `schema.table.index`, a function `schema.function`. */
const playbookName = (object: CatalogObject): Path => namesOf(object)[0]!;

/** An index may be named by its schema alone: `public.shops_plan_idx: public.shops_tier_idx`. */
function targetPath(object: CatalogObject, renames: Renames, green: ReadonlyMap<string, unknown>): Path {
  const path = renames.path(object.path);
  if (object.kind !== 'index' || green.has(identity(object.kind, path))) return path;
  const short = renames.path([object.path[0]!, object.path[2]!]);
  return [...path.slice(0, 2), short[1]!];
}

/** A column that is renamed on a partitioned table is renamed on its partitions. */
function withPartitions(renames: Renames, kin: Family): Renames {
  return {
    words: renames.words,
    path: (path) => {
      const root = path.length === 3 ? kin.root(path) : undefined;
      const own = renames.path(path);
      return root && own[2] === path[2] ? [...own.slice(0, 2), renames.path([...root, path[2]!])[2]!] : own;
    },
  };
}

function namesIn(names: readonly string[], kin: Family): Names {
  const keys = new Set<string>();
  for (const name of names) {
    const path = parsePath(name);
    if (path) keys.add(keyOf(path));
  }
  const named = (path: Path): boolean =>
    keys.has(keyOf(path)) || (path[0] === 'public' && keys.has(keyOf(path.slice(1))));
  const has = (object: CatalogObject): boolean => [...namesOf(object), ...kin.inherited(object)].some(named);
  return {
    has,
    covers: (object) =>
      has(object) ||
      named(object.path.slice(0, 1)) ||
      kin.ancestors(object).some(named) ||
      kin.columns(object).some((column) => named(column) && tokens(object.definition).includes(column[2]!)),
  };
}

/** When a table is missing, so is all that hangs on it: one line says it. */
function withoutParts(differences: readonly Difference[], kin: Family): Difference[] {
  const missing = new Set(
    differences.filter(({ how }) => how === 'missing').map(({ blue }) => keyOf(blue.path)),
  );
  return differences.filter(
    ({ how, blue }) => how !== 'missing' || !kin.ancestors(blue).some((path) => missing.has(keyOf(path))),
  );
}

const optionNames = (expect: Expectations) =>
  [
    ['renamed', Object.keys(expect.renamed)],
    ['dropped', expect.dropped],
    ['changed', expect.changed],
  ] as const;

function unmatched(blue: Catalog, expect: Expectations, kin: Family): SchemaDiff['unmatched'] {
  const known = new Map(
    blue.objects.flatMap((object) => namesOf(object)).map((path) => [keyOf(path), displayName(path)]),
  );
  return optionNames(expect).flatMap(([option, names]) =>
    names
      .filter((name) => {
        const path = parsePath(name);
        return (
          !path || !(known.has(keyOf(path)) || known.has(keyOf(['public', ...path])) || kin.isSchema(path))
        );
      })
      .map((name) => {
        const path = parsePath(name);
        const near = nearNames(path ? displayPath(path) : name, known.values());
        return { option, name, near };
      }),
  );
}

function astray(blue: Catalog, green: Catalog, expect: Expectations): SchemaDiff['astray'] {
  const known = new Map(
    green.objects.flatMap((object) => namesOf(object)).map((path) => [keyOf(path), displayName(path)]),
  );
  const renames = readRenames(expect);
  const old = new Set(blue.objects.flatMap((object) => namesOf(object)).map(keyOf));
  return Object.entries(expect.renamed).flatMap(([from, to]) => {
    // A name that blue does not have is told already.
    if (!old.has(keyOf(parsePath(from) ?? []))) return [];
    const path = renames.path(parsePath(from) ?? []);
    if (known.has(keyOf(path)) || known.has(keyOf(['public', ...path]))) return [];
    return [{ from, to, near: nearNames(displayPath(path), known.values()) }];
  });
}

function unmet(
  expect: Expectations,
  gone: ReadonlySet<string>,
  kin: Family,
  green: ReadonlyMap<string, CatalogObject>,
): string[] {
  const still = new Set([...green.values()].flatMap((object) => namesOf(object).map(keyOf)));
  return expect.dropped.filter((name) => {
    const path = parsePath(name);
    if (!path) return false;
    return [path, ['public', ...path]].some(
      (one) => still.has(keyOf(one)) && !gone.has(keyOf(one)) && kin.isKnown(one),
    );
  });
}
