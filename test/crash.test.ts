import ava from 'ava';
import { allCells, isOfRun, type Cell, type Recorded } from './crash/cells.ts';
import { playMatrix } from './crash/matrix.ts';

const CELLS = 30;
const LIVE_CELLS = 22;
/** From one cell to the next; two are played at a time. */
const CELL_MS = 300_000;

const test = ava.serial;

/** Cells that differ only in their point. */
const sort = ({ subject, fault, side, recovery, torn, again }: Cell): string =>
  [subject, fault, isOfRun(subject) ? `${side} ${recovery}` : '', torn, again !== undefined].join(' ');

/** Evenly over all of them. */
function some(recorded: Recorded, count: number): Cell[] {
  const cells = allCells(recorded);
  return Array.from({ length: count }, (_, index) => cells[Math.floor((index * cells.length) / count)]!);
}

/** Some of everything: evenly over the points, and every fault, moment and recovery among them. */
function spread(recorded: Recorded): Cell[] {
  const cells = allCells(recorded);
  const chosen = some(recorded, CELLS);
  const missing = cells.filter((cell) => !chosen.some((each) => sort(each) === sort(cell)));
  const firsts = new Map(missing.map((cell) => [sort(cell), cell]));
  return [...chosen, ...firsts.values()];
}

test('whatever happens to a run, at whatever instant, one side is live and every row is there', async (t) => {
  const limit = (): void => t.timeout(CELL_MS);
  limit();
  const { cells, failed } = await playMatrix(spread, { jobs: 2 }, (done, total, name) => {
    limit();
    if (done % 10 === 0) t.log(`${done} of ${total}: ${name}`);
  });
  t.true(cells >= CELLS);
  t.deepEqual(failed, []);
});

test('the same of a run that follows blue, there and back', async (t) => {
  const limit = (): void => t.timeout(CELL_MS);
  limit();
  const { cells, failed } = await playMatrix(
    (recorded) => some(recorded, LIVE_CELLS),
    { jobs: 2, live: true },
    (done, total, name) => {
      limit();
      if (done % 5 === 0) t.log(`${done} of ${total}: ${name}`);
    },
  );
  t.is(cells, LIVE_CELLS);
  t.deepEqual(failed, []);
});
