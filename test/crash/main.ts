// npm run test:crash [-- --only PATTERN] [--jobs N] [--journal postgres] [--live] [--list]: the whole matrix.
// Its last line says how many cells there were.
import { parseArgs } from 'node:util';
import { allCells, nameOf } from './cells.ts';
import { playMatrix } from './matrix.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    jobs: { type: 'string', default: '3' },
    journal: { type: 'string', default: 'folder' },
    live: { type: 'boolean', default: false },
    list: { type: 'boolean' },
  },
});
const only = values.only === undefined ? undefined : new RegExp(values.only);
const report = await playMatrix(
  (recorded) => {
    const cells = allCells(recorded).filter((cell) => only?.test(nameOf(cell)) ?? true);
    if (!values.list) return cells;
    for (const cell of cells) process.stdout.write(`${nameOf(cell)}\n`);
    return [];
  },
  {
    jobs: Number(values.jobs),
    journal: values.journal === 'postgres' ? 'postgres' : 'folder',
    live: values.live,
  },
  (done, total, name, problems) => {
    process.stderr.write(`${done}/${total} ${problems.length === 0 ? 'ok' : 'FAILED'} ${name}\n`);
    for (const problem of problems) process.stderr.write(`    ${problem.replaceAll('\n', '\n    ')}\n`);
  },
);
for (const { name, problems } of report.failed) process.stdout.write(`${name}\n    ${problems[0]}\n`);
for (const [how, count] of Object.entries(report.ends)) process.stdout.write(`${how}: ${count}\n`);
process.stdout.write(`cells: ${report.cells}, failed: ${report.failed.length}\n`);
process.exitCode = report.failed.length === 0 ? 0 : 1;
