import { basename } from 'node:path';
import { parse, stringify } from 'yaml';
import { UsageError } from '../core/errors.ts';
import type { DriverUse } from '../core/drivers/driver.ts';
import type { Playbook } from '../core/playbook.ts';
import { formatDuration } from '../util/units.ts';
import { maskReferences, unmaskReferences } from '../core/text/references.ts';

type Raw = Readonly<Record<string, unknown>>;

/** What takes the place of the playbook's own. */
export interface Replaced {
  /** References to connection strings. */
  readonly blue: string;
  /** Only where green has a server of its own. */
  readonly green: string | undefined;
  readonly targets: readonly DriverUse[];
  /** Migrators before the playbook's own. */
  readonly first: readonly Raw[];
  /** Migrators after them. */
  readonly last: readonly Raw[];
  /** Options of a driver that hold a path. */
  readonly paths: (sort: 'migrators' | 'checks', driver: string) => readonly string[];
}

/** A playbook as people wrote it, before anything is validated; undefined when it is no map. */
export function readRaw(text: string): Raw | undefined {
  try {
    const raw: unknown = parse(maskReferences(text), { version: '1.2', schema: 'core', merge: false });
    const plain = deep(raw);
    return typeof plain === 'object' && plain !== null && !Array.isArray(plain) ? (plain as Raw) : undefined;
  } catch {
    // Whoever loads the playbook says where it is wrong.
    return undefined;
  }
}

function deep(value: unknown): unknown {
  if (typeof value === 'string') return unmaskReferences(value);
  if (Array.isArray(value)) return value.map(deep);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [unmaskReferences(key), deep(inner)]),
  );
}

/** Checks that ask something which is not on the stage. */
const OUTSIDE = new Set(['http']);

/**
 * The same playbook for the stage: other places, and the rest as it is. Gives its text, and what of it is left out. Hooks
 * are never run: nobody knows what they would reach. Nobody is told of it: it is no run that anybody waits for.
 */
export function restage(
  raw: Raw,
  playbook: Playbook,
  replaced: Replaced,
): { text: string; without: string[] } {
  // Nothing real happens: nobody has to approve of it or waits for its time, and nobody is told.
  const { hooks: _hooks, notify: _notify, approval: _approval, window: _window, ...others } = raw;
  const { verify, migrate, bake, ...rest } = others;
  const { blue, green, targets } = replaced;
  const pathsOf = (name: string): readonly string[] => replaced.paths('checks', name);
  const kept = checksFor(entries(verify), playbook.verify, playbook, pathsOf);
  const baked = bakeFor(bake as Raw | undefined, playbook, pathsOf);
  const staged = {
    ...rest,
    blue,
    ...(green !== undefined && { green }),
    ...(playbook.gate.url && { gate: 'open' }),
    migrate: [
      ...replaced.first,
      ...(entries(migrate) ?? []).map((entry, index) =>
        absolute(entry, playbook.migrate[index]!, playbook.folder, (name) =>
          replaced.paths('migrators', name),
        ),
      ),
      ...replaced.last,
    ],
    ...(kept && { verify: kept }),
    ...(baked && { bake: baked }),
    switch: {
      ...(raw['switch'] as Raw),
      targets: targets.map(({ driver, options }) => ({ [driver]: options })),
    },
  };
  return {
    text: stringify(staged, { lineWidth: 0 }),
    without: [
      ...playbook.hooks.map(({ when, phase, run }) => `the hook ${when} ${phase}: ${firstLine(run)}`),
      ...(playbook.gate.url ? [`the gate: ${JSON.stringify(playbook.gate.url.address)}`] : []),
      ...[...playbook.verify, ...(playbook.bake?.checks ?? [])].flatMap(({ driver, options }) =>
        OUTSIDE.has(driver) ? [`the check ${driver}: ${JSON.stringify(options['url'])}`] : [],
      ),
      ...bakeWords(playbook.bake, baked !== undefined),
      ...playbook.notify.map(({ driver, at }) => `the notices by ${driver} (${basename(at)})`),
    ],
  };
}

/** Checks without those that ask something outside; undefined when the playbook names none. */
function checksFor(
  written: readonly unknown[] | undefined,
  uses: readonly DriverUse[],
  { file, folder }: Playbook,
  pathsOf: (driver: string) => readonly string[],
): unknown[] | undefined {
  if (!written) return undefined;
  if (written.length !== uses.length)
    throw new UsageError('the checks of this playbook cannot be put on the stage', { where: file });
  return written.flatMap((entry, index) => {
    const use = uses[index]!;
    return OUTSIDE.has(use.driver) ? [] : [absolute(entry, use, folder, pathsOf)];
  });
}

/** Clients of the stage are none of the application's: what they do says nothing about it. */
const OF_CLIENTS = ['activity', 'statements'];

/** How long a bake is on the stage: nobody waits for hours in a rehearsal. */
const BAKE = { for: '2s', every: '500ms' };

/** The bake, made short; undefined when none of its checks can be made on the stage. */
function bakeFor(
  written: Raw | undefined,
  playbook: Playbook,
  pathsOf: (driver: string) => readonly string[],
): Raw | undefined {
  const checks = checksFor(entries(written?.['checks']), playbook.bake?.checks ?? [], playbook, pathsOf);
  const kept = checks?.filter((entry) => !OF_CLIENTS.some((name) => Object.hasOwn(entry as Raw, name)));
  return kept && kept.length > 0 ? { ...written, ...BAKE, checks: kept } : undefined;
}

const bakeWords = (bake: Playbook['bake'], baked: boolean): string[] => {
  if (!bake) return [];
  const length = formatDuration(bake.for);
  return [
    ...OF_CLIENTS.flatMap((name) =>
      bake.checks.some(({ driver }) => driver === name) ? [`the check ${name}`] : [],
    ),
    baked ? `the length of the bake: ${BAKE.for} instead of ${length}` : `the bake of ${length}`,
  ];
};

const entries = (list: unknown): unknown[] | undefined => (Array.isArray(list) ? list : undefined);

const firstLine = (text: string): string => text.trim().split('\n', 1)[0]!;

/** The staged playbook is in another folder: what was seen from the real one is written in full. */
function absolute(
  entry: unknown,
  use: DriverUse,
  folder: string,
  pathsOf: (driver: string) => readonly string[],
): unknown {
  if (typeof entry === 'string') return entry;
  const options = { ...((entry as Raw)[use.driver] as Raw | null) };
  for (const path of pathsOf(use.driver)) options[path] = use.options[path] ?? folder;
  // A shell line of a check has no folder of its own to name.
  if (use.driver === 'command' && !pathsOf(use.driver).includes('directory'))
    options['run'] = `cd -- '${folder.replaceAll("'", `'\\''`)}' || exit 1\n${String(options['run'])}`;
  return { [use.driver]: options };
}
