import type { Side } from '../../core/side.ts';
import type { Drivers } from '../open.ts';

/** The side that every target points at, by asking them; undefined when they do not agree. */
export async function liveSide({ targets }: Drivers): Promise<Side | undefined> {
  const sides = new Set(await Promise.all(targets.map(({ target }) => target.current())));
  const [side] = sides;
  return sides.size === 1 ? side : undefined;
}
