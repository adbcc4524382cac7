import { readFileSync, symlinkSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { root, workplace, type Outcome, type Workplace } from './helpers/cli.ts';

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const scripts = (
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
).scripts;

/** The command lines of the README's shell blocks. */
const documented = [...readme.matchAll(/```sh\n([^]*?)```/g)]
  .flatMap((match) => match[1]!.split('\n'))
  .map((line) => line.replace(/\s+#.*$/, '').trim())
  .filter(Boolean);

/** Runs a documented line just as it stands, but with the sources and in a folder of the test. */
async function type(work: Workplace, line: string): Promise<Outcome> {
  const words = line
    .replace('npm ci && npm run quickstart', scripts['quickstart']!)
    .replace(/^bin\/cutover|^npx cutover/, '')
    .trim()
    .split(/\s+/);
  return work.cutover(words);
}

/** A folder in which the README's relative paths lead to the project's playbooks and fixtures. */
async function clone(t: Parameters<typeof workplace>[0]): Promise<Workplace> {
  const work = await workplace(t);
  for (const name of ['playbooks', 'fixtures']) symlinkSync(join(root, name), join(work.folder, name));
  return work;
}

test('the README’s commands, one after the other, on the embedded server', async (t) => {
  t.timeout(120_000);
  const work = await clone(t);
  const lines = documented.filter((line) => /^npm ci && npm run quickstart|^npx cutover/.test(line));
  t.deepEqual(lines, [
    'npm ci && npm run quickstart',
    'npx cutover status',
    'npx cutover swap-back --yes',
    'npx cutover retire --confirm shop_green',
    'npx cutover rehearse playbooks/quickstart.yml',
  ]);
  const started = Date.now();
  const run = await type(work, lines[0]!);
  t.is(run.code, 0, run.err);
  t.true(Date.now() - started < 60_000, 'well under a minute');
  t.regex(run.err, /completed[^]*checksums: 3,352 rows in 17 tables/);
  const status = await type(work, lines[1]!);
  t.is(status.code, 0);
  t.regex(status.out, /completed[^]*live: green \(database shop\)/);
  const again = await type(work, lines[0]!);
  t.is(again.code, 3, again.err);
  t.regex(again.err, /shop_previous is the previous copy that run[^]*cutover swap-back[^]*cutover retire/);
  const back = await type(work, lines[2]!);
  t.is(back.code, 0, back.err);
  t.regex((await type(work, lines[1]!)).out, /refused/);
  const retired = await type(work, lines[3]!);
  t.is(retired.code, 0, retired.err);
  const begun = Date.now();
  const rehearsed = await type(work, lines[4]!);
  t.is(rehearsed.code, 0, rehearsed.err + rehearsed.out);
  t.true(Date.now() - begun < 60_000, 'a verdict in under a minute');
  t.regex(rehearsed.out, /Verdict: every promise was kept here\.$/m);
  // The server went with each command; what it leaves is its folder.
  t.deepEqual((await readdir(join(work.folder, '.cutover'))).sort(), ['embedded', 'runs']);
  t.false((await readdir(join(work.folder, '.cutover/embedded/data'))).includes('postmaster.pid'));
});

test('the commands for one’s own database are commands that there are', async (t) => {
  const work = await clone(t);
  const names = documented.filter((line) => line.startsWith('cutover ')).map((line) => line.split(' ')[1]!);
  t.deepEqual(names, ['validate', 'plan', 'run', 'status', 'resume', 'swap-back', 'retire']);
  const yaml = /```yaml\n(version: 1[^]*?)```/.exec(readme)![1]!;
  await work.file('playbooks-shop.yml', yaml.replace('../fixtures', 'fixtures'));
  const valid = await work.cutover(['validate', 'playbooks-shop.yml'], {
    DATABASE_URL: 'postgresql://me@localhost/shop',
  });
  t.is(valid.code, 0, valid.err);
  for (const name of names) t.is((await work.cutover([name, '--help'])).code, 0);
});

test('the playbook that fails on purpose ends with exit code 5 and names what was lost', async (t) => {
  const work = await clone(t);
  const run = await work.cutover(['run', 'playbooks/losing.yml', '--yes']);
  t.is(run.code, 5, run.err);
  t.regex(run.err, /public\.shop_program_rates has 846 rows on blue and 844 on green/);
  t.regex(run.err, /the copy shop_green is dropped/);
  t.regex((await work.cutover(['status'])).out, /unwound/);
});
