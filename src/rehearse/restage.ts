import { parse, stringify } from 'yaml';
import { UsageError } from '../core/errors.ts';
import type { DriverUse } from '../core/driver.ts';
import type { Playbook } from '../core/playbook.ts';
import { maskReferences, unmaskReferences } from '../playbook/values/interpolate.ts';

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
 * are never run: nobody knows what they would reach.
 */
export function restage(
  raw: Raw,
  playbook: Playbook,
  replaced: Replaced,
): { text: string; without: string[] } {
  // Nothing real happens: nobody has to approve of it.
  const { hooks: _hooks, approval: _approval, verify, migrate, ...rest } = raw;
  const { blue, green, targets } = replaced;
  const checks = entries(verify);
  if (checks && checks.length !== playbook.verify.length)
    throw new UsageError('the checks of this playbook cannot be put on the stage', { where: playbook.file });
  const kept = checks?.filter((_, index) => !OUTSIDE.has(playbook.verify[index]!.driver));
  const keptUses = playbook.verify.filter(({ driver }) => !OUTSIDE.has(driver));
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
    ],
    ...(kept && {
      verify: kept.map((entry, index) =>
        absolute(entry, keptUses[index]!, playbook.folder, (name) => replaced.paths('checks', name)),
      ),
    }),
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
      ...playbook.verify.flatMap(({ driver, options }) =>
        OUTSIDE.has(driver) ? [`the check ${driver}: ${JSON.stringify(options['url'])}`] : [],
      ),
    ],
  };
}

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
