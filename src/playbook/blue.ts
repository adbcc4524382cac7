import { parse as parseConnectionString } from 'pg-connection-string';
import { resolve } from 'node:path';
import type { BlueSource } from '../core/playbook.ts';
import { messageOf } from '../core/errors.ts';
import { databaseName, embedded } from './keys/definition.ts';
import { evaluate, type Reading } from './values/evaluate.ts';
import { literalOf } from './values/interpolate.ts';
import { quoted, type KeyPath, type Place } from '../core/text/mistakes.ts';
import { holdsPassword } from './values/secrets.ts';
import { nearest } from '../core/text/suggest.ts';
import type { MapTree, Scalar, Tree } from '../core/text/tree.ts';
import { beginning } from '../core/text/validate.ts';
import { validate } from './validate.ts';
import { z } from 'zod';
import { withoutDriver } from '../util/url.ts';

/** Reads `fixture.yml` of a folder, or throws. */
export type ReadFixture = (folder: string) => unknown;

export interface Blue {
  readonly source: BlueSource;
  /** The name of its database. */
  readonly database: string;
}

export const PASSWORD =
  'a password does not belong in a playbook; write ${DATABASE_URL} and set it in the environment or --env-file';

/** Reads the `blue` of a playbook; undefined after it has added the mistakes. */
export function readBlue(
  root: MapTree,
  folder: string,
  reading: Reading,
  readFixture: ReadFixture | undefined,
): Blue | undefined {
  const entry = root.entries.get('blue');
  if (!entry) {
    reading.mistakes.add(
      beginning(root),
      ['blue'],
      'missing; write blue: ${DATABASE_URL}, or blue: embedded',
    );
    return undefined;
  }
  const { tree, key } = entry;
  if (tree.kind === 'map') return embeddedBlue(tree, key, folder, reading, readFixture);
  if (tree.kind === 'list' || typeof tree.value !== 'string') {
    reading.mistakes.add(key, ['blue'], 'must be a connection string such as ${DATABASE_URL}, or embedded');
    return undefined;
  }
  if (tree.value === 'embedded') {
    const database = 'blue';
    return { source: { kind: 'embedded', database, stay: false }, database };
  }
  const { value: url } = tree;
  const database = databaseOfUrl(tree, ['blue'], url, reading);
  return database === undefined ? undefined : { source: { kind: 'url', url }, database };
}

/** The database that a connection string names; undefined after it has added the mistakes. */
export function databaseOfUrl(
  tree: Scalar,
  path: KeyPath,
  raw: string,
  reading: Reading,
): string | undefined {
  const refuse = (message: string): undefined => reading.mistakes.add(tree.place, path, message) as undefined;
  if (holdsPassword(raw)) return refuse(PASSWORD);
  // What an application's DATABASE_URL says of its own driver (`postgresql+psycopg2://`) is nothing to us.
  const url = withoutDriver(String(evaluate(tree, path, reading, { secret: new Set([tree]) })));
  if (reading.broken.has(tree)) return undefined;
  const subject = raw.includes('${') ? 'the value behind the reference' : 'this';
  if (!/^postgres(?:ql)?:\/\//i.test(url)) {
    const hint = nearest(literalOf(raw), ['embedded']) ? '; did you mean "embedded"?' : '';
    return refuse(`${subject} is no connection string that begins with postgres:// or postgresql://${hint}`);
  }
  try {
    const { database } = parseConnectionString(url);
    if (database) return database;
  } catch (error) {
    return refuse(`${subject} cannot be read as a connection string: ${messageOf(error)}`);
  }
  return refuse(`${subject} names no database; write it behind the host, as in postgres://host/shop`);
}

function embeddedBlue(
  tree: MapTree,
  key: Place,
  folder: string,
  reading: Reading,
  readFixture: ReadFixture | undefined,
): Blue | undefined {
  const schema = z.strictObject({ embedded: embedded().nullable() });
  const options = validate(schema, tree, ['blue'], reading, {}, key);
  if (!options) return undefined;
  const { fixture, database, stay = false } = options.embedded ?? {};
  if (fixture === undefined) {
    const name = database ?? 'blue';
    return { source: { kind: 'embedded', database: name, stay }, database: name };
  }
  const path = resolve(folder, fixture);
  const found = databaseOfFixture(path, placeOf(tree, ['embedded', 'fixture']), reading, readFixture);
  if (found === undefined) return undefined;
  const name = database ?? found;
  return { source: { kind: 'embedded', fixture: path, database: name, stay }, database: name };
}

function databaseOfFixture(
  folder: string,
  place: Place,
  reading: Reading,
  readFixture: ReadFixture | undefined,
): string | undefined {
  if (!readFixture) return 'blue';
  const refuse = (message: string): undefined =>
    reading.mistakes.add(place, ['blue', 'embedded', 'fixture'], message) as undefined;
  try {
    const fixture = z.object({ database: databaseName().optional() }).safeParse(readFixture(folder));
    if (fixture.success) return fixture.data.database ?? 'blue';
    return refuse('fixture.yml in this folder names no usable "database"');
  } catch (error) {
    const missing = (error as { code?: unknown }).code === 'ENOENT';
    return refuse(
      missing
        ? `no fixture.yml in ${quoted(folder)}; write the folder of a fixture, seen from the playbook`
        : `fixture.yml of this folder cannot be read: ${messageOf(error).split('\n', 1)[0]}`,
    );
  }
}

function placeOf(tree: Tree, path: readonly string[]): Place {
  const [first, ...rest] = path;
  const entry = tree.kind === 'map' && first !== undefined ? tree.entries.get(first) : undefined;
  return entry ? placeOf(entry.tree, rest) : tree.place;
}
