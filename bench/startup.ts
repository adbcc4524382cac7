// How long `cutover --help` takes beyond Node's own start: npm run bench:startup
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const GOAL_DIFFERENCE_MS = 150;
const WARM_UP = 3;
const PAIRS = 21;

const root = new URL('..', import.meta.url).pathname;
const built = join(root, 'dist/bin/cli.js');
if (!existsSync(built)) spawnSync('npm', ['run', 'build'], { cwd: root, stdio: 'inherit' });

function measure(args: readonly string[]): number {
  const started = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}\n${stderr}`);
  return performance.now() - started;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const help: number[] = [];
const bare: number[] = [];
for (let round = 0; round < WARM_UP + PAIRS; round += 1) {
  // In pairs, and each first in turn: what else the machine does hits both alike.
  const work = [() => measure([built, '--help']), () => measure(['-e', '0'])];
  const [first, second] = round % 2 === 0 ? work : work.toReversed();
  const times = [first!(), second!()];
  if (round < WARM_UP) continue;
  help.push(times[round % 2]!);
  bare.push(times[1 - (round % 2)]!);
}
const differences = help.map((ms, index) => ms - bare[index]!);

const rounded = (ms: number): number => Math.round(ms * 10) / 10;
const row = (name: string, values: readonly number[]): string =>
  [name.padEnd(18), ...[Math.min(...values), median(values), Math.max(...values)].map((ms) => cell(ms))].join(
    '',
  );
const cell = (ms: number): string => rounded(ms).toFixed(1).padStart(9);

console.log(`${PAIRS} pairs after ${WARM_UP} for warming up, Node ${process.versions.node}, milliseconds\n`);
console.log(`${''.padEnd(18)}${['least', 'median', 'most'].map((word) => word.padStart(9)).join('')}`);
console.log(row('cutover --help', help));
console.log(row('node -e 0', bare));
console.log(row('difference', differences));
console.log(
  JSON.stringify({
    bench: 'startup',
    help_ms: rounded(median(help)),
    node_ms: rounded(median(bare)),
    difference_ms: rounded(median(differences)),
    goal_difference_ms: GOAL_DIFFERENCE_MS,
    met: median(differences) <= GOAL_DIFFERENCE_MS,
  }),
);
