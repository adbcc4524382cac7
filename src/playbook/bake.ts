import type { z } from 'zod';
import type { DriverUse } from '../core/drivers/driver.ts';
import type { Bake } from '../core/playbook.ts';
import type { bake } from './keys/conduct.ts';
import { readUse, type DriverList } from './drivers.ts';
import type { Tree } from '../core/text/tree.ts';
import { beginning } from '../core/text/validate.ts';

type Written = z.output<ReturnType<typeof bake>>;

/** A bake in all its parts. */
export function readBake(written: Written, checks: readonly DriverUse[]): Bake | undefined {
  if (!written) return undefined;
  const { for: length, every, failures } = written;
  return { for: length, every, failures, checks, onFailure: written['on-failure'] };
}

/** Its checks, which look at green alone: the previous copy is not there to be asked. */
export function readBakeChecks(tree: Tree | undefined, list: DriverList): DriverUse[] {
  if (tree?.kind !== 'list') return [];
  return tree.items.flatMap((item, index) => {
    const path = ['bake', 'checks', index];
    const use = readUse(item, path, list);
    if (use?.driver === 'sql' && (use.options['same-on-both'] === true || use.options['on'] !== 'green'))
      list.reading.mistakes.add(beginning(item), path, 'asks blue, and in a bake there is only green');
    return use ?? [];
  });
}
