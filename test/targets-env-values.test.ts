// env-file: values and secrets
import { readFile } from 'node:fs/promises';
import { CutoverError, StepError, UsageError } from '../src/core/errors.ts';
import { envFile } from '../src/targets/env-file.ts';
import { targetSuite } from './helpers/target-suite.ts';

const { test, openEnv, fileWith } = targetSuite();

const resolve = (text: string): string => text.replace('${SECRET}', `hunter2 'x'`);

test('env-file: whole values are written as they are, or refused by preparing when they do not fit the quotes', async (t) => {
  const path = await fileWith(`A=1\nURL="host=a dbname=b"\n`);
  const target = openEnv(
    { path, variable: 'URL', blue: 'host=a dbname=b', green: 'host=c password=${SECRET}' },
    { resolve },
  );
  await target.switch('blue', 'green');
  t.is(await readFile(path, 'utf8'), `A=1\nURL="host=c password=hunter2 'x'"\n`);
  t.is(await target.current(), 'green');

  for (const [quote, value] of [
    ['"', 'say "x"'],
    ["'", "it's"],
    ['', `it's "both" `],
  ] as const) {
    const unfit = await fileWith(`URL=${quote}one${quote}\n`);
    const other = openEnv({ path: unfit, variable: 'URL', blue: 'one', green: value });
    await t.throwsAsync(other.prepare('blue', 'green'), {
      instanceOf: StepError,
      message: /cannot be written/,
    });
    await t.throwsAsync(other.switch('blue', 'green'), { instanceOf: StepError });
    t.is(await readFile(unfit, 'utf8'), `URL=${quote}one${quote}\n`);
  }
});

test('env-file: the password stays in the file, and shows in no message and no description', async (t) => {
  for (const password of ['hunter2', 'hunter2/x', 'hun?ter2', 'hunter2#', 'p:hunter2']) {
    const path = await fileWith(`DATABASE_URL=postgresql://app:${password}@db/another\n`);
    const target = openEnv({ path });
    const described = JSON.stringify(target.describe());
    for (const attempt of [() => target.prepare('blue', 'green'), () => target.switch('blue', 'green')]) {
      const error: CutoverError = await t.throwsAsync(attempt, { instanceOf: CutoverError });
      const all = `${described} ${error.message} ${error.hint} ${error.detail} ${error.where} ${error.stack}`;
      t.false(/hun|ter2/.test(all), all);
    }
  }
  const values = { blue: 'postgresql://app:hunter2@db/a', green: 'postgresql://app:hunter2@db/b' };
  const path = await fileWith('DATABASE_URL=postgresql://app:hunter2@db/c\n');
  const target = openEnv({ path, ...values });
  const error = await t.throwsAsync(target.prepare('blue', 'green'));
  t.false(`${JSON.stringify(target.describe())}${error.message}`.includes('hunter2'));
});

test('env-file: beside database-rename it must be given its two values', (t) => {
  const error = t.throws(() => openEnv({ path: '/x' }, { renames: true }), { instanceOf: UsageError });
  t.true(error.message.includes('would not change'));
  t.notThrows(() => openEnv({ path: '/x', blue: 'a', green: 'b' }, { renames: true }));
  for (const options of [
    { blue: 'a' },
    { green: 'a' },
    { blue: 'a', green: 'a' },
    { variable: 'A B' },
    { variable: '1A' },
  ]) {
    t.false(envFile.options.safeParse({ path: '/x', ...options }).success, JSON.stringify(options));
  }
});
