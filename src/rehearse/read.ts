import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UsageError } from '../core/errors.ts';
import type { Playbook } from '../core/playbook.ts';
import { readFixture, type Fixture } from '../databases/postgres/fixture/describe.ts';
import { loadPlaybook } from '../playbook/load.ts';
import { registries } from '../playbook/schema.ts';
import { createEnvironment, type Environment } from '../playbook/values/environment.ts';
import { databaseOf } from '../util/url.ts';
import { readRaw } from './restage.ts';

/** What there is to read. */
export interface Reading {
  readonly file: string;
  readonly fixture: string | undefined;
  readonly scale: number | undefined;
  readonly seed: number | undefined;
  readonly env: Environment;
}

/** A playbook and what it is rehearsed on. */
export interface Read {
  readonly playbook: Playbook;
  readonly raw: Readonly<Record<string, unknown>>;
  readonly fixture: Fixture;
  /** Of blue's connection string. */
  readonly scheme: string;
  readonly blue: string;
}

const URL = /^\s*(postgres(?:ql)?(?:\+\w+)?):\/\//i;

export async function read({ file, env, fixture: given, scale, seed }: Reading): Promise<Read> {
  const raw = readRaw(await readFile(file, 'utf8').catch(() => '')) ?? {};
  const folder = given ?? fixtureOf(raw, file);
  const named = folder === undefined ? undefined : await readFixture(folder);
  const whole = createEnvironment({ ...placeholders(raw, named?.database ?? 'blue'), ...env.variables });
  const playbook = await loadPlaybook(file, whole);
  if (!named)
    throw new UsageError('there is nothing to rehearse on', {
      where: file,
      hint: 'give the folder of a fixture: --fixture DIR',
    });
  const url = playbook.blue.kind === 'url' ? whole.resolve(playbook.blue.url) : undefined;
  const blue = playbook.blue.kind === 'embedded' ? playbook.blue.database : databaseOf(url!)!;
  const fixture = {
    ...named,
    ...(scale !== undefined && { scale }),
    ...(seed !== undefined && { seed }),
  };
  return { playbook, raw, fixture, blue, scheme: URL.exec(url ?? '')?.[1] ?? 'postgresql' };
}

/** The fixture that the playbook itself names. */
function fixtureOf({ blue }: Read['raw'], file: string): string | undefined {
  const embedded = typeof blue === 'object' && blue !== null ? (blue as Read['raw'])['embedded'] : undefined;
  const fixture = (embedded as { fixture?: unknown } | null | undefined)?.fixture;
  return typeof fixture === 'string' ? resolve(file, '..', fixture) : undefined;
}

/** The variable that a value is a reference to, and nothing else. */
const variableOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? /^\s*\$\{(\w+)\}\s*$/.exec(value)?.[1] : undefined;

/**
 * Whoever rehearses need not know where the real databases are: references to them that are not set get a value by which
 * the playbook can be read. None of it is ever connected to.
 */
function placeholders(raw: Read['raw'], database: string): Record<string, string> {
  const found: Record<string, string> = {};
  const put = (value: unknown, host: string, name: string): void => {
    const variable = variableOf(value);
    if (variable !== undefined) found[variable] = `postgresql://${host}/${encodeURIComponent(name)}`;
  };
  const gate = variableOf((raw['gate'] as Read['raw'] | null | undefined)?.['url']);
  if (gate !== undefined) found[gate] = 'https://stage/';
  put(raw['blue'], 'stage', database);
  put(raw['green'], 'stage', `${database}_green`);
  const targets = (raw['switch'] as { targets?: unknown } | undefined)?.targets;
  for (const target of Array.isArray(targets) ? targets : [])
    for (const [driver, options] of Object.entries((target ?? {}) as Read['raw']))
      for (const key of registries.targets[driver]?.secrets ?? [])
        put((options as Read['raw'] | null)?.[key], `stage-${key}`, database);
  putAddresses(raw['notify'], found);
  return found;
}

/** Nobody is told of a rehearsal, so nobody's address has to be known. */
function putAddresses(value: unknown, found: Record<string, string>, key = ''): void {
  const variable = variableOf(value);
  if (variable !== undefined) found[variable] = `${key === 'smtp' ? 'smtp' : 'https'}://stage.invalid/`;
  if (typeof value !== 'object' || value === null) return;
  for (const [inner, part] of Object.entries(value)) putAddresses(part, found, inner);
}
