import type { CheckContext } from '../../core/drivers/check.ts';
import type { TablePair } from '../shared/match.ts';
import { readBoth, UnreadError } from '../shared/run.ts';
import type { Reading, Sums } from './compare-table.ts';

/** Bytes of a table that is read faster than it is asked for, and of those that are asked for together. */
const SMALL = 512 * 1024;
const TOGETHER = 4 * 1024 * 1024;
/** Tables in one statement: their locks, and those on their indexes, are held until it ends. */
const MOST = 16;
/** Columns in one statement, which a server takes apart as a whole. */
const COLUMNS = 1600;

/** Groups of tables that one statement reads: small ones together, each of the others by itself. */
export function inGroups(tables: readonly TablePair[]): TablePair[][] {
  const groups: TablePair[][] = [];
  let open: TablePair[] | undefined;
  let [bytes, columns] = [0, 0];
  for (const table of tables) {
    const size = Math.max(table.blue.bytes, table.green.bytes);
    if (!isSmall(table)) {
      groups.push([table]);
      continue;
    }
    const wide = table.blue.columns.length;
    if (!open || open.length === MOST || bytes + size > TOGETHER || columns + wide > COLUMNS) {
      groups.push((open = []));
      [bytes, columns] = [0, 0];
    }
    open.push(table);
    bytes += size;
    columns += wide;
  }
  return groups;
}

/** No size at all may also be that of a table of which nobody has told the planner. Partitions are locks, all of them. */
const isSmall = ({ blue, green }: TablePair): boolean =>
  [blue, green].every(({ bytes, partitioned }) => bytes > 0 && bytes <= SMALL && !partitioned);

/** The checksums of a group, one a table; undefined where a side refused, and each is to be read by itself to tell which. */
export async function sumsOf(context: CheckContext, group: readonly Reading[]): Promise<Sums[] | undefined> {
  if (group.length === 1) return undefined;
  try {
    const { blue, green } = await readBoth(context, (side) =>
      context[side].checksums(group.map((reading) => reading.of(side))),
    );
    return group.map((_, index) => ({ blue: blue[index]!, green: green[index]! }));
  } catch (error) {
    if (error instanceof UnreadError) return undefined;
    throw error;
  }
}
