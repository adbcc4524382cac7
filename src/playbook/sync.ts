import type { CloneOptions, LongTransactions, Playbook, Sync } from '../core/playbook.ts';
import type { Mistakes } from '../core/text/mistakes.ts';
import type { Tree } from '../core/text/tree.ts';
import type { Green } from './green.ts';

type Written =
  | 'none'
  | 'logical'
  | { readonly method: 'logical'; readonly 'without-identity': Sync['withoutIdentity'] };

/** A sync in all its parts. */
export const readSync = (written: Written): Sync =>
  typeof written === 'string'
    ? { method: written, withoutIdentity: 'refuse' }
    : { method: written.method, withoutIdentity: written['without-identity'] };

interface WrittenSwitch {
  readonly 'long-transactions': LongTransactions;
  readonly 'pause-budget': number;
  readonly 'pause-retries': { readonly limit: number; readonly wait: number };
}

/** The switch without its targets. */
export const readSwitch = (written: WrittenSwitch): Omit<Playbook['switch'], 'targets'> => ({
  longTransactions: written['long-transactions'],
  pause: {
    budget: written['pause-budget'],
    retries: written['pause-retries'].limit,
    wait: written['pause-retries'].wait,
  },
});

interface WrittenClone {
  readonly method?: CloneOptions['method'] | undefined;
  readonly strategy: CloneOptions['strategy'];
  readonly pause: number;
}

/** Who holds a run has blue open and green following; without sync blue is closed until the switch. */
export function refuseHolding(
  { sync, windows, onFailure }: Pick<Playbook, 'sync' | 'windows' | 'onFailure'>,
  refuse: Refuse,
): void {
  if (windows.length > 0 && windows.every(({ prepare }) => prepare))
    refuse(['window'], 'no window is left for the switch: one of them must not be only for preparing');
  if (sync.method === 'logical') return;
  const without = 'keeps the copy at blue while clients write; write sync: logical besides';
  if (windows.some(({ prepare }) => prepare)) refuse(['window'], `only: prepare ${without}`);
  if (windows.some(({ tooShort }) => tooShort === 'hold')) refuse(['window'], `too-short: hold ${without}`);
  for (const [phase, then] of Object.entries(onFailure))
    if (then === 'hold') refuse(['on-failure', phase], `hold ${without}`);
}

/** Who waits until others have less to do, while those are locked out of blue, only makes them wait longer. */
export function refusePaced(checks: Tree | undefined, sync: Sync, mistakes: Mistakes): void {
  if (sync.method === 'logical' || checks?.kind !== 'list') return;
  for (const [index, item] of checks.items.entries())
    for (const [name, { tree }] of item.kind === 'map' ? item.entries : []) {
      const limit = tree.kind === 'map' ? tree.entries.get('max-active') : undefined;
      if (limit)
        mistakes.add(
          limit.key,
          ['verify', index, name, 'max-active'],
          'would let everybody wait longer who cannot work while blue is closed; write sync: logical besides, or take it away and give --max-active to cutover verify',
        );
    }
}

/** Told what does not go together. */
type Refuse = (keys: string[], message: string) => void;

/** How the copy is made. */
export function readClone(
  { method, strategy, pause }: WrittenClone,
  sync: Sync,
  green: Green,
  refuse: Refuse,
): CloneOptions {
  const elsewhere = green.url !== undefined;
  if (elsewhere && method === 'template')
    refuse(['clone', 'method'], 'a template clone stays on one server; write dump, or take the line away');
  if (sync.method === 'none' && elsewhere)
    refuse(['green'], 'a copy on another server must follow blue; write sync: logical');
  if (sync.method === 'none' && method === 'dump')
    refuse(['clone', 'method'], 'a dump takes its time while clients write; write sync: logical besides');
  return { method: method ?? (elsewhere ? 'dump' : 'template'), strategy, pause };
}
