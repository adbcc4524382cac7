// How far what a rehearsal at two sizes predicts is from a run of a database sixteen times as large:
// npm run bench:predict [-- --base 4 --times 2]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { predict, type Measured } from '../src/plan/predict.ts';

const GOAL = 0.3;
const STEPS = ['clone', 'migrate-1-sql', 'verify'];
const { values } = parseArgs({
  options: { base: { type: 'string', default: '4' }, times: { type: 'string', default: '2' } },
});
const [base, times] = [Number(values.base), Number(values.times)];
const root = new URL('..', import.meta.url).pathname;

const folder = mkdtempSync(join(tmpdir(), 'cutover-bench-predict-'));
const rates = join(folder, 'rates.json');
// One way of copying at all sizes: which one is chosen depends on the size.
const playbook = join(folder, 'playbook.yml');
const text = readFileSync(join(root, 'playbooks/maintenance-page.yml'), 'utf8');
writeFileSync(
  playbook,
  text
    .replace('migrate:', 'clone: { strategy: file-copy }\nmigrate:')
    .replace('../fixtures', join(root, 'fixtures')),
);
// The first one is the whole story, which is beside the point; each of the others is one run.
const scales = [base, ...Array<number>(times).fill(base), ...Array<number>(times).fill(4 * base)];
const large = Array<number>(times).fill(16 * base);
try {
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      '--',
      join(root, 'src/cli.ts'),
      'rehearse',
      playbook,
      '--fixture',
      join(root, 'fixtures/orders'),
      '--scale',
      [...scales, ...large].join(','),
      '--rates',
      rates,
      '--json',
    ],
    { encoding: 'utf8', maxBuffer: 2 ** 28 },
  );
  if (status !== 0) throw new Error(`the rehearsal ended with ${status}\n${stderr}`);
  const { measured } = JSON.parse(readFileSync(rates, 'utf8')) as { measured: Measured[] };
  const known = measured.slice(0, -times);
  const real = measured.slice(-times);
  const bytes = real[0]!.bytes;
  const figures = STEPS.map((step) => {
    const actual = median(real.map(({ steps }) => steps[step]!));
    const estimate = predict(known, step, bytes)!;
    return {
      step,
      predicted_ms: estimate.ms,
      measured_ms: actual,
      off: (actual - estimate.ms) / estimate.ms,
    };
  });
  const sizes = [known[0]!.bytes, known.at(-1)!.bytes, bytes].map((size) => `${Math.round(size / 1e6)} MB`);
  console.log(`from ${sizes[0]} and ${sizes[1]} to ${sizes[2]}, ${times} runs of each; milliseconds\n`);
  for (const { step, predicted_ms, measured_ms, off } of figures)
    console.log(
      `${step.padEnd(16)}predicted ${String(predicted_ms).padStart(7)}   measured ${String(measured_ms).padStart(7)}   ${percent(off)}`,
    );
  console.log(
    JSON.stringify({
      bench: 'predict',
      base,
      figures: figures.map(({ off, ...rest }) => ({ ...rest, off: Math.round(off * 100) / 100 })),
      goal_off: GOAL,
      met: figures.every(({ off }) => Math.abs(off) <= GOAL),
    }),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function percent(part: number): string {
  return `${part >= 0 ? '+' : ''}${Math.round(100 * part)} %`;
}

function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
