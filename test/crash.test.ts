import test from 'ava';
import { allCells, type Cell, type Recorded } from './crash/cells.ts';
import { playMatrix } from './crash/matrix.ts';

const CELLS = 30;

/** Cells that differ only in their point. */
const sort = ({ subject, fault, side, recovery, torn, again }: Cell): string =>
  [subject, fault, subject === 'run' ? `${side} ${recovery}` : '', torn, again !== undefined].join(' ');

/** Some of everything: evenly over the points, and every fault, moment and recovery among them. */
function spread(recorded: Recorded): Cell[] {
  const cells = allCells(recorded);
  const step = cells.length / CELLS;
  const chosen = Array.from({ length: CELLS }, (_, index) => cells[Math.floor(index * step)]!);
  const missing = cells.filter((cell) => !chosen.some((each) => sort(each) === sort(cell)));
  const firsts = new Map(missing.map((cell) => [sort(cell), cell]));
  return [...chosen, ...firsts.values()];
}

test('whatever happens to a run, at whatever instant, one side is live and every row is there', async (t) => {
  t.timeout(170_000);
  const { cells, failed } = await playMatrix(spread, { jobs: 2 }, (done, total, name) => {
    if (done % 10 === 0) t.log(`${done} of ${total}: ${name}`);
  });
  t.true(cells >= CELLS);
  t.deepEqual(failed, []);
});
