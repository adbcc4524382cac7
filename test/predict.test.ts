import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import * as fc from 'fast-check';
import { alike, predict, type Measured } from '../src/plan/predict.ts';
import { root, workplace } from './helpers/cli.ts';

const MB = 1e6;
const of = (megabytes: number, ms: number): Measured => ({ bytes: megabytes * MB, steps: { clone: ms } });

test('what was never measured is not predicted', (t) => {
  t.is(predict([], 'clone', MB), undefined);
  t.is(predict([of(1, 100)], 'verify', MB), undefined);
});

test('what grows with the size is predicted beyond it, and what does not is constant', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 1, max: 200 }), (fixed, rate) => {
      const at = (megabytes: number): number => fixed + rate * megabytes;
      const found = predict([of(10, at(10)), of(40, at(40))], 'clone', 160 * MB)!;
      t.true(Math.abs(found.ms - at(160)) <= 1);
      t.true(found.least! < found.ms && found.ms < found.most!);
    }),
  );
  t.is(predict([of(10, 300), of(40, 300)], 'clone', 1000 * MB)!.ms, 300);
  // Quicker by chance is no sign that it goes down to nothing.
  t.true(predict([of(10, 310), of(40, 290)], 'clone', 10_000 * MB)!.ms >= 290);
});

const width = (measured: readonly Measured[], megabytes: number): number => {
  const { ms, least, most } = predict(measured, 'clone', megabytes * MB)!;
  return (most! - least!) / ms;
};

test('one run that was slow for a reason of its own turns nothing', (t) => {
  const measured = [of(10, 100), of(10, 400), of(10, 101), of(40, 400), of(40, 399), of(40, 401)];
  const { ms } = predict(measured, 'clone', 160 * MB)!;
  t.true(Math.abs(ms - 1600) < 50, String(ms));
});

test('the further away, and the more it varied, the wider the range', (t) => {
  const steady = [of(10, 100), of(40, 400)];
  t.true(width(steady, 1600) > width(steady, 40));
  t.true(width([...steady, of(10, 200), of(40, 300)], 40) > width(steady, 40));
});

test('of one size nobody knows how it grows', (t) => {
  const near = predict([of(10, 100), of(10.1, 120)], 'clone', 10 * MB)!;
  t.is(near.ms, 110);
  const far = predict([of(10, 100)], 'clone', 100 * MB)!;
  t.is(far.ms, 1000);
  t.true(far.least! < 100 && far.most! > 1000);
  t.regex(far.basis, /^from 1 run of 10(?:\.0)? MB$/);
});

test('a copy that was made in another way says nothing', (t) => {
  const walLog = [10, 40].map((megabytes) => ({ ...of(megabytes, 10 * megabytes), way: 'wal-log' }));
  const files = { ...of(160, 100), way: 'file-copy' };
  const step = { kind: 'clone' as const, input: { way: 'file-copy' } };
  t.deepEqual(alike(walLog, step), []);
  t.deepEqual(alike([...walLog, files], step), [files]);
  t.is(alike([of(10, 100)], step).length, 1, 'of before there were ways');
  t.is(alike(walLog, { kind: 'verify', input: {} }).length, 2);
});

test('a rehearsal writes rates, a plan estimates by them, and by the runs that were made even more so', async (t) => {
  const work = await workplace(t);
  const playbook = join(root, 'playbooks/quickstart.yml');
  const rehearsed = await work.cutover([
    'rehearse',
    playbook,
    '--scale',
    '1,2,3',
    '--rates',
    'rates.json',
    '--json',
  ]);
  t.is(rehearsed.code, 0, rehearsed.err);
  const { findings } = JSON.parse(rehearsed.out) as { findings: { check: string; message: string }[] };
  const told = findings.filter(({ check }) => check === 'prediction').map(({ message }) => message);
  t.deepEqual(
    told.map((message) => message.replace(/:.*/, '')),
    ['clone', 'migrate-1-sql', 'verify'],
  );
  t.regex(told[0]!, /^clone: .+ predicted, .+ measured \([+-]\d+ %\)$/);
  const rates = JSON.parse(await readFile(join(work.folder, 'rates.json'), 'utf8')) as {
    measured: unknown[];
  };
  t.is(rates.measured.length, 4);
  const plain = await work.cutover(['plan', playbook]);
  t.notRegex(plain.out, /from \d+ runs/);
  const planned = await work.cutover(['plan', playbook, '--rates', 'rates.json']);
  t.regex(planned.out, /Verify shop_green .*about .+, .+ to .+ \(from 4 runs of .+ MB\)/);
  t.notRegex(planned.out, /Ask .*from 4 runs/);
  t.is((await work.cutover(['run', playbook, '--yes'])).code, 0);
  t.is((await work.cutover(['swap-back', '--yes'])).code, 0);
  t.is((await work.cutover(['retire', '--confirm', 'shop_green'])).code, 0);
  const again = await work.cutover(['plan', playbook, '--rates', 'rates.json']);
  t.regex(again.out, /\(from 1 run of .+ MB\)/);
  const report = await work.cutover(['report']);
  t.regex(report.out, /^\| clone \| done \| .+ \| about .+ \|$/m);
  await writeFile(join(work.folder, 'rates.json'), '{"format":2}');
  const wrong = await work.cutover(['plan', playbook, '--rates', 'rates.json']);
  t.is(wrong.code, 2);
  t.regex(wrong.err, /the rates cannot be read[^]*cutover rehearse/);
});
