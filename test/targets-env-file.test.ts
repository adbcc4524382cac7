// env-file: the file
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, chown, lstat, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StepError } from '../src/core/errors.ts';
import { names, targetSuite } from './helpers/target-suite.ts';

const { test, folder, openEnv, newFolder, fileWith } = targetSuite();

test('env-file: mode and owner stay, and behind a link the file is replaced', async (t) => {
  const path = await fileWith('DATABASE_URL=postgres://h/shop\n');
  await chmod(path, 0o662);
  if (process.getuid?.() === 0) await chown(path, 65534, 65534);
  const before = await stat(path);
  const link = join(await newFolder(), 'link.env');
  await symlink(path, link);
  const target = openEnv({ path: link });
  await target.prepare('blue', 'green');
  await target.switch('blue', 'green');
  const after = await stat(path);
  t.deepEqual([after.mode, after.uid, after.gid], [before.mode, before.uid, before.gid]);
  t.true((await lstat(link)).isSymbolicLink());
  t.is(await readlink(link), path);
  t.is(await readFile(path, 'utf8'), 'DATABASE_URL=postgres://h/shop_green\n');
});

test('env-file: a variable that is missing, there twice, or in a file that is missing is an error that says so', async (t) => {
  for (const [content, words] of [
    ['OTHER=1\n', /not in the file/],
    ['DATABASE_URL=postgres://h/shop\nexport DATABASE_URL=postgres://h/shop\n', /2 times/],
    ['', /not in the file/],
    [Buffer.from('DATABASE_URL=postgres://h/shop # f\xfcr alle\n', 'latin1'), /not UTF-8/],
  ] as const) {
    const path = await fileWith(content);
    const before = await readFile(path);
    const target = openEnv({ path });
    for (const attempt of [
      () => target.current(),
      () => target.prepare('blue', 'green'),
      () => target.switch('blue', 'green'),
    ]) {
      const error = await t.throwsAsync(attempt, { instanceOf: StepError, message: words });
      t.is(error.where, path);
    }
    t.deepEqual(await readFile(path), before);
  }
  await t.throwsAsync(openEnv({ path: join(folder, 'nowhere') }).prepare('blue', 'green'), {
    message: /there is no such file/,
  });
});

test('env-file: a file that was changed between preparing and switching is left alone; other lines may change', async (t) => {
  const path = await fileWith('A=1\nDATABASE_URL=postgres://h/shop\n');
  const target = openEnv({ path });
  await target.prepare('blue', 'green');
  await writeFile(path, 'A=1\nDATABASE_URL=postgres://h/third\n');
  await t.throwsAsync(target.switch('blue', 'green'), {
    instanceOf: StepError,
    message: /names database third, expected database shop/,
  });
  t.is(await readFile(path, 'utf8'), 'A=1\nDATABASE_URL=postgres://h/third\n');
  await writeFile(path, 'A=2\nDATABASE_URL=postgres://h/shop\n');
  await target.switch('blue', 'green');
  t.is(await readFile(path, 'utf8'), 'A=2\nDATABASE_URL=postgres://h/shop_green\n');
});

test('env-file: a file or a folder that cannot be written is found by preparing', async (t) => {
  const path = await fileWith('DATABASE_URL=postgres://h/shop\n');
  for (const what of [path, join(path, '..')]) {
    try {
      execFileSync('chattr', ['+i', what], { stdio: 'pipe' });
    } catch (error) {
      t.log(`SKIPPED: this file system cannot make ${what} immutable: ${String(error)}`);
      return t.pass();
    }
    try {
      const error = await t.throwsAsync(openEnv({ path }).prepare('blue', 'green'), {
        instanceOf: StepError,
      });
      t.true(error.message.startsWith(`${what} cannot be written`), error.message);
    } finally {
      execFileSync('chattr', ['-i', what]);
    }
  }
});

/** Prepares and then switches as another user; gives what was thrown. */
function asNobody(path: string, method: 'prepare' | 'switch'): string {
  const script = `
    const { envFile } = await import(${JSON.stringify(new URL('../src/targets/env-file.ts', import.meta.url).href)});
    const context = { names: ${JSON.stringify(names)}, renames: false, resolve: (text) => text };
    const target = envFile.open(envFile.options.parse({ path: ${JSON.stringify(path)} }), context);
    await target[${JSON.stringify(method)}]('blue', 'green').then(() => console.log('done'), (error) => console.log(error.message));`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    uid: 65534,
    gid: 65534,
    cwd: '/',
    encoding: 'utf8',
  });
  return child.stdout.trim() + child.stderr;
}

test('env-file: an ordinary user learns beforehand that a file is not theirs to replace', async (t) => {
  if (process.getuid?.() !== 0) return t.pass('needs root to change users');
  const path = await fileWith('DATABASE_URL=postgres://h/shop\n');
  await chmod(folder, 0o755);
  await chmod(path, 0o644);
  t.regex(asNobody(path, 'prepare'), /cannot be written.*EACCES/);
  // May write to it, but a replaced file would be another owner's.
  await chmod(path, 0o666);
  await chmod(join(path, '..'), 0o777);
  t.regex(asNobody(path, 'prepare'), /belongs to user 0/);
  t.not(asNobody(path, 'switch'), 'done');
  t.is(await readFile(path, 'utf8'), 'DATABASE_URL=postgres://h/shop\n');
  t.deepEqual(await readdir(join(path, '..')), ['.env']);
  await chown(path, 65534, 65534);
  t.is(asNobody(path, 'prepare'), 'done');
  t.is(asNobody(path, 'switch'), 'done');
  t.is((await stat(path)).uid, 65534);
});
