import { resolve } from 'node:path';
import type { Driver, DriverUse, Registry } from '../core/drivers/driver.ts';
import { addSecret } from '../util/redact.ts';
import { PASSWORD } from './blue.ts';
import { rawValue } from '../core/text/plain.ts';
import type { Reading } from './values/evaluate.ts';
import { hasReference, literalOf } from './values/interpolate.ts';
import { quoted, type KeyPath, type Place } from '../core/text/mistakes.ts';
import { holdsPassword } from './values/secrets.ts';
import { suggestion } from '../core/text/suggest.ts';
import type { MapTree, Tree } from '../core/text/tree.ts';
import { strictly, validate } from './validate.ts';

type AnyDriver = Driver<unknown, never, unknown>;

/** One list of drivers in a playbook. */
export interface DriverList {
  readonly registry: Registry<never, unknown>;
  /** `target`, `check` … for messages. */
  readonly noun: string;
  readonly folder: string;
  readonly reading: Reading;
}

/** Reads one entry: `- name` or `- name: { options }`. Undefined after it has added the mistakes. */
export function readUse(entry: Tree, path: KeyPath, list: DriverList): DriverUse | undefined {
  const { reading, noun } = list;
  const named = nameOf(entry, path, list);
  if (!named) return undefined;
  const { name, place, options } = named;
  const driver = Object.hasOwn(list.registry, name) ? list.registry[name] : undefined;
  if (!driver) {
    const hint = suggestion(name, Object.keys(list.registry));
    reading.mistakes.add(place, path, `unknown ${noun} ${quoted(name)}; ${hint}`);
    return undefined;
  }
  const none = options === undefined || (options.kind === 'scalar' && options.value === null);
  if (none && !driver.bare) {
    const hint = `write "- ${name}: { … }", or its options indented under "${name}:"`;
    reading.mistakes.add(place, path, `${quoted(name)} needs options; ${hint}`);
    return undefined;
  }
  const tree = none ? emptyMap(place) : options;
  return readOptions(driver, name, tree, [...path, name], place, list);
}

/** The use of a driver that no line of the playbook names. */
export const defaultUse = (name: string, at: Place, path: KeyPath, list: DriverList): DriverUse | undefined =>
  readUse({ kind: 'scalar', value: name, plain: true, place: at, size: 1, depth: 1 }, path, list);

const emptyMap = (place: Place): MapTree => ({ kind: 'map', entries: new Map(), place, size: 1, depth: 1 });

function nameOf(
  entry: Tree,
  path: KeyPath,
  { reading, noun, registry }: DriverList,
): { name: string; place: Place; options: Tree | undefined } | undefined {
  if (entry.kind === 'scalar' && typeof entry.value === 'string')
    return { name: entry.value, place: entry.place, options: undefined };
  const [first, second] = entry.kind === 'map' ? entry.entries : [];
  if (!first) {
    const place = { start: entry.place.start, end: entry.place.start + 1 };
    reading.mistakes.add(place, path, `must name a ${noun}, as in "- ${Object.keys(registry)[0]}: { … }"`);
    return undefined;
  }
  const [name, { key, tree }] = first;
  if (!second) return { name, place: key, options: tree };
  const [other, { key: place }] = second;
  const options = tree.kind === 'scalar' && tree.value === null && !Object.hasOwn(registry, other);
  const hint = options
    ? `indent it further, so that it is an option of "${name}"`
    : `write it as an entry of its own: "- ${other.slice(0, 40)}: …"`;
  reading.mistakes.add(place, [...path, other], `an entry names one ${noun}; ${hint}`);
  return undefined;
}

function readOptions(
  driver: AnyDriver,
  name: string,
  tree: Tree,
  path: KeyPath,
  place: Place,
  { reading, folder }: DriverList,
): DriverUse | undefined {
  const part = (key: string): Tree | undefined =>
    tree.kind === 'map' ? tree.entries.get(key)?.tree : undefined;
  const parts = (keys: readonly string[] = []): Set<Tree> => new Set(keys.flatMap((key) => part(key) ?? []));
  for (const key of driver.secrets ?? []) {
    const secret = part(key);
    if (secret) refusePasswords(secret, [...path, key], reading);
    if (secret && driver.tokens?.includes(key)) refuseTokens(secret, [...path, key], reading);
  }
  for (const key of driver.verbatim ?? []) {
    const line = part(key);
    if (line) refuseLiteralPassword(line, [...path, key], reading);
  }
  const manner = { verbatim: parts(driver.verbatim), secret: parts(driver.secrets) };
  const parsed = validate(strictly(driver.options), tree, path, reading, manner, place);
  if (parsed === undefined) return undefined;
  const options: Record<string, unknown> = { ...(parsed as object) };
  for (const key of driver.paths ?? []) options[key] = absolute(options[key], folder);
  for (const key of driver.secrets ?? []) {
    const secret = part(key);
    if (secret) options[key] = rawValue(secret);
  }
  for (const key of Object.keys(options)) if (options[key] === undefined) delete options[key];
  return { driver: name, options, at: reading.mistakes.where(place) };
}

function absolute(value: unknown, folder: string): unknown {
  if (typeof value === 'string') return resolve(folder, value);
  return Array.isArray(value) ? value.map((entry) => absolute(entry, folder)) : value;
}

/** A shell line is shown in the plan and stored as it is: `$NAME` and `${NAME}` may stand in it, a password may not. */
export function refuseLiteralPassword(tree: Tree, path: KeyPath, reading: Reading): void {
  if (tree.kind === 'list' || tree.kind === 'map' || tree.value === null) return;
  if (holdsPassword(String(tree.value).replaceAll(/\$\w+/g, ''))) {
    reading.mistakes.add(tree.place, path, PASSWORD.replace('DATABASE_URL', 'NAME'));
  }
}

const SECRET_KEY = /pass|secret|token|authorization|api-?key/i;

/** In options that may hold a secret: no password in a connection string, and no plain value under a secret's name. */
function refusePasswords(tree: Tree, path: KeyPath, reading: Reading): void {
  if (tree.kind === 'list') {
    for (const [index, item] of tree.items.entries()) refusePasswords(item, [...path, index], reading);
    return;
  }
  if (tree.kind === 'map') {
    for (const [key, { tree: inner }] of tree.entries) refusePasswords(inner, [...path, key], reading);
    return;
  }
  if (tree.value === null) return;
  const text = String(tree.value);
  const named = SECRET_KEY.test(String(path.at(-1))) && !hasReference(text);
  if (holdsPassword(text)) reading.mistakes.add(tree.place, path, PASSWORD.replace('DATABASE_URL', 'NAME'));
  else if (named && text !== '') {
    addSecret(text);
    reading.mistakes.add(tree.place, path, PASSWORD.replace('DATABASE_URL', 'NAME'));
  }
}

/** What no person would write, as in the path of a Slack webhook: whoever knows it may write there. */
const TOKEN = /[A-Za-z0-9_-]{20,}/;

function refuseTokens(tree: Tree, path: KeyPath, reading: Reading): void {
  if (tree.kind === 'map') {
    for (const [key, { tree: inner }] of tree.entries) refuseTokens(inner, [...path, key], reading);
    return;
  }
  if (tree.kind === 'list' || tree.value === null) return;
  const literal = literalOf(String(tree.value));
  // A host's name may be as long.
  const token = TOKEN.exec(literal.replace(/^[a-z]+:\/\/[^/]*/i, ''))?.[0];
  if (token === undefined) return;
  addSecret(token);
  reading.mistakes.add(
    tree.place,
    path,
    'what looks like a token does not belong in a playbook; write ${NAME} and set it in the environment or --env-file',
  );
}
