import type { Gate, Hook } from '../core/playbook.ts';
import { refuseLiteralPassword } from './drivers.ts';
import { evaluate, type Reading } from './values/evaluate.ts';
import type { Tree } from '../core/text/tree.ts';

interface Written {
  readonly before?: Hook['phase'] | undefined;
  readonly after?: Hook['phase'] | undefined;
  readonly run: string;
  readonly undo?: string | undefined;
  readonly timeout: number;
}

/** Why a phase is not part of a run. */
const WHY: Partial<Record<Hook['phase'], string>> = {
  gate: 'the gate is open, and nobody is asked',
  bake: 'green is not looked after',
  fence: 'with sync, blue is fenced in the switch itself',
  publish: 'nothing follows blue, since sync is none',
  sync: 'nothing follows blue, since sync is none',
};

const items = (tree: Tree | undefined): readonly Tree[] => (tree?.kind === 'list' ? tree.items : []);

const part = (tree: Tree, key: string): Tree | undefined =>
  tree.kind === 'map' ? tree.entries.get(key)?.tree : undefined;

/** The lines of hooks: a shell expands what stands in them. */
export const hookLines = (tree: Tree | undefined): Tree[] =>
  items(tree).flatMap((item) => ['run', 'undo'].flatMap((key) => part(item, key) ?? []));

/** Hooks with their places; adds a mistake where a phase is not part of the run, and where a line holds a password. */
export function readHooks(
  written: readonly Written[],
  tree: Tree | undefined,
  has: (phase: Hook['phase']) => boolean,
  reading: Reading,
): Hook[] {
  const { mistakes } = reading;
  return items(tree).flatMap((item, index) => {
    for (const key of ['run', 'undo']) {
      const line = part(item, key);
      if (line) refuseLiteralPassword(line, ['hooks', index, key], reading);
    }
    const hook = written[index];
    if (!hook) return [];
    const { run, undo, timeout } = hook;
    const when = hook.before === undefined ? ('after' as const) : ('before' as const);
    const phase = (hook.before ?? hook.after)!;
    if (!has(phase)) {
      mistakes.add(
        (part(item, when) ?? item).place,
        ['hooks', index, when],
        `there is no ${phase} in this run: ${WHY[phase] ?? 'nothing is migrated'}`,
      );
    }
    return [{ when, phase, run, undo, timeout, at: mistakes.where(item.place) }];
  });
}

type WrittenGate =
  | 'ask'
  | 'open'
  | {
      readonly url?: string | undefined;
      readonly every?: number | undefined;
      readonly timeout: number;
      readonly then: 'go' | 'stop';
    };

const EVERY_MS = 15_000;

/** The address of a gate: its references stay, for they may hold secrets. */
export const gateAddress = (gate: Tree | undefined): Tree[] => {
  const tree = gate && part(gate, 'url');
  return tree ? [tree] : [];
};

/** A gate in all its parts; adds a mistake where its address is none. */
export function readGate(written: WrittenGate, tree: Tree | undefined, reading: Reading): Gate {
  if (typeof written === 'string') return { mode: written, timeout: undefined, otherwise: 'stop' };
  const { url, every = EVERY_MS, timeout, then } = written;
  for (const address of gateAddress(tree)) refuseNoAddress(address, reading);
  return {
    mode: 'ask',
    timeout,
    otherwise: then,
    ...(url !== undefined && { url: { address: url, every } }),
  };
}

function refuseNoAddress(tree: Tree, reading: Reading): void {
  const path = ['gate', 'url'];
  refuseLiteralPassword(tree, path, reading);
  const value = String(evaluate(tree, path, reading, { secret: new Set([tree]) }));
  if (tree.kind === 'scalar' && reading.broken.has(tree)) return;
  if (URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)) return;
  reading.mistakes.add(tree.place, path, 'must be an address such as https://change.example/CHG123');
}
