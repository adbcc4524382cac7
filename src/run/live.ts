import type { Side } from '../core/side.ts';
import type { Execution } from './execute.ts';

/** The side that every target points at and that may take writes, by asking them; undefined when they do not agree. */
export async function liveSide({ drivers }: Pick<Execution, 'drivers'>): Promise<Side | undefined> {
  const sides = new Set(await Promise.all(drivers.targets.map(({ target }) => target.current())));
  const [side] = sides;
  return sides.size === 1 ? side : undefined;
}
