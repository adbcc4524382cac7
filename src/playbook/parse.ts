import { createHash } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { DriverUse } from '../core/drivers/driver.ts';
import type { Hook, Playbook } from '../core/playbook.ts';
import { readBake, readBakeChecks } from './bake.ts';
import { readBlue, type ReadFixture } from './blue.ts';
import { readGreen } from './green.ts';
import { readClone, readSwitch, readSync, refuseHolding, refusePaced } from './sync.ts';
import { definition, VERIFY_BY_DEFAULT, type Registries } from './keys/definition.ts';
import { defaultUse, readUse, type DriverList } from './drivers.ts';
import { gateAddress, hookLines, readGate, readHooks } from './hooks.ts';
import type { Environment } from './values/environment.ts';
import type { Reading } from './values/evaluate.ts';
import { Mistakes, type KeyPath, type Place } from '../core/text/mistakes.ts';
import type { MapTree, Tree } from '../core/text/tree.ts';
import { beginning } from '../core/text/validate.ts';
import { validate } from './validate.ts';
import { readYaml } from '../core/text/yaml.ts';
import { readWindows, type ReadCalendar } from './windows.ts';

export interface ParseOptions {
  /** As the user wrote it: messages say it that way. Relative paths in the playbook start from its folder. */
  readonly file: string;
  readonly env: Pick<Environment, 'variables'>;
  readonly registries: Registries;
  /** Asked for the database of an embedded server's fixture; without it the name is `blue`. */
  readonly readFixture?: ReadFixture;
  /** Without it a calendar in a window is a mistake. */
  readonly readCalendar?: ReadCalendar | undefined;
}

/**
 * From a playbook's text to a Playbook: validated whole, defaults filled, paths absolute, secrets still references,
 * frozen. Registers the secrets behind the references for redaction.
 *
 * @throws PlaybookError with every mistake of the text.
 */
export function parsePlaybook(text: string, options: ParseOptions): Playbook {
  const bare = text.replace(/^\uFEFF/, '');
  const mistakes = new Mistakes(options.file, bare);
  const root = readYaml(bare, mistakes);
  if (!root) {
    mistakes.throwIfAny();
    throw new TypeError('a playbook without content and without mistakes');
  }
  const reading = { mistakes, variables: options.env.variables, broken: new Set<never>() } satisfies Reading;
  const file = resolve(options.file);
  const playbook = readPlaybook(root, { ...options, file }, reading);
  mistakes.throwIfAny();
  if (!playbook) throw new TypeError('a playbook that failed without a mistake');
  return deepFreeze({ ...playbook, sha256: createHash('sha256').update(text).digest('hex') });
}

/** Where each entry is read by itself. */
const BY_HAND = [
  ['blue'],
  ['green'],
  ['migrate'],
  ['verify'],
  ['notify'],
  ['switch', 'targets'],
  ['bake', 'checks'],
];

/** Everything but the text's hash; undefined, or in parts wrong, when there are mistakes. */
function readPlaybook(
  root: MapTree,
  { file, registries, readFixture, readCalendar }: ParseOptions,
  reading: Reading,
): Omit<Playbook, 'sha256'> | undefined {
  const folder = dirname(file);
  const basics = readBasics(root, reading);
  const blue = readBlue(root, folder, reading, readFixture);
  const uses = readLists(root, registries, folder, reading);
  const green = readGreen(root, reading);
  if (!basics || !blue || !green) return undefined;
  const { version, name, expect, retries } = basics;
  const sync = readSync(basics.sync);
  const refuse = (keys: string[], message: string): void =>
    reading.mistakes.add(at(root, keys)?.place ?? beginning(root), keys, message);
  const clone = readClone(basics.clone, sync, green, refuse);
  if (green.url === undefined && green.name === blue.database)
    refuse(['green'], "is blue's own database; the copy needs a name of its own");
  const gate = readGate(basics.gate, at(root, ['gate']), reading);
  const { connect, lock, statement, ...steps } = basics.limits;
  const bake = readBake(basics.bake, uses.bake);
  const windows = readWindows(basics.window, at(root, ['window']), {
    folder,
    readCalendar,
    mistakes: reading.mistakes,
  });
  const onFailure = basics['on-failure'];
  refuseHolding({ sync, windows, onFailure }, refuse);
  for (const name of ['lag', 'statements'])
    if (sync.method === 'none' && bake?.checks.some(({ driver }) => driver === name))
      refuse(['bake', 'checks'], `${name} asks the previous copy, which follows only with sync: logical`);
  refusePaced(at(root, ['verify']), sync, reading.mistakes);
  const missing = missingPhases({ sync, gate, bake }, uses.migrate?.length === 0);
  return {
    version,
    name,
    file,
    folder,
    blue: blue.source,
    green: green.name,
    greenUrl: green.url,
    clone,
    sync,
    migrate: uses.migrate ?? [],
    verify: uses.verify,
    expect,
    gate,
    hooks: readHooks(basics.hooks ?? [], at(root, ['hooks']), (phase) => !missing.has(phase), reading),
    windows,
    bake,
    onFailure,
    notify: uses.notify ?? [],
    approval: basics.approval,
    retries,
    limits: { connect, lock, statement, steps },
    switch: { targets: uses.targets ?? [], ...readSwitch(basics.switch) },
  };
}

/** Everything but the entries of lists, which are read by hand. */
function readBasics(root: MapTree, reading: Reading) {
  const slot = z.unknown();
  const none = slot.optional();
  const slots = { migrator: slot, check: slot, target: slot, notice: slot, baked: slot };
  return validate(definition({ ...slots, blue: none, green: none }), root, [], reading, {
    verbatim: asWritten(root),
  });
}

/** Every list of drivers; undefined is one that is not there. */
function readLists(root: MapTree, registries: Registries, folder: string, reading: Reading) {
  const list = (noun: string, registry: DriverList['registry']): DriverList => ({
    noun,
    registry,
    folder,
    reading,
  });
  const checks = list('check', registries.checks);
  const read = (path: readonly string[], of: DriverList): DriverUse[] | undefined =>
    readUses(at(root, path), path, of);
  return {
    migrate: read(['migrate'], list('migrator', registries.migrators)),
    verify: read(['verify'], checks) ?? defaultChecks(beginning(root), checks),
    targets: read(['switch', 'targets'], list('target', registries.targets)),
    notify: read(['notify'], list('notice', registries.notices)),
    bake: readBakeChecks(at(root, ['bake', 'checks']), list('check', registries.bake)),
  };
}

/** What is validated by hand, or kept with its references. */
const asWritten = (root: MapTree): Set<Tree> =>
  new Set([
    ...BY_HAND.flatMap((path) => at(root, path) ?? []),
    ...hookLines(at(root, ['hooks'])),
    ...gateAddress(at(root, ['gate'])),
  ]);

/** Phases that a run of this playbook does not have. */
function missingPhases(
  { sync, gate, bake }: Pick<Playbook, 'sync' | 'gate' | 'bake'>,
  nothingToMigrate: boolean,
): ReadonlySet<Hook['phase']> {
  const missing = new Set<Hook['phase']>(sync.method === 'logical' ? ['fence'] : ['publish', 'sync']);
  if (gate.mode === 'open') missing.add('gate');
  if (!bake) missing.add('bake');
  if (nothingToMigrate) missing.add('migrate');
  return missing;
}

function at(tree: Tree, path: readonly string[]): Tree | undefined {
  return path.reduce<Tree | undefined>(
    (found, key) => (found?.kind === 'map' ? found.entries.get(key)?.tree : undefined),
    tree,
  );
}

/** Undefined when the list is not there, or is no list (which the definition reports). */
function readUses(tree: Tree | undefined, path: KeyPath, list: DriverList): DriverUse[] | undefined {
  if (tree?.kind !== 'list') return undefined;
  return tree.items.flatMap((item, index) => readUse(item, [...path, index], list) ?? []);
}

const defaultChecks = (place: Place, list: DriverList): DriverUse[] =>
  VERIFY_BY_DEFAULT.filter((name) => Object.hasOwn(list.registry, name)).flatMap(
    (name, index) => defaultUse(name, place, ['verify', index], list) ?? [],
  );

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
