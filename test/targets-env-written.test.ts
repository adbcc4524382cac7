// env-file: how the variable is written
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Names } from '../src/core/database/database.ts';
import { findVariable } from '../src/targets/env-file/assignment.ts';
import { targetSuite } from './helpers/target-suite.ts';

const { test, openEnv, fileWith } = targetSuite();

const FORMS: readonly { title: string; before: string; after: string }[] = [
  {
    title: 'bare',
    before: 'DATABASE_URL=postgres://h/shop\n',
    after: 'DATABASE_URL=postgres://h/shop_green\n',
  },
  {
    title: 'no final newline',
    before: 'A=1\nDATABASE_URL=postgres://h/shop',
    after: 'A=1\nDATABASE_URL=postgres://h/shop_green',
  },
  {
    title: 'double quotes',
    before: 'DATABASE_URL="postgres://h/shop" # c\n',
    after: 'DATABASE_URL="postgres://h/shop_green" # c\n',
  },
  {
    title: 'single quotes',
    before: "DATABASE_URL='postgres://h/shop'#c\n",
    after: "DATABASE_URL='postgres://h/shop_green'#c\n",
  },
  {
    title: 'export and blanks',
    before: '\texport  DATABASE_URL = postgres://h/shop  \n',
    after: '\texport  DATABASE_URL = postgres://h/shop_green  \n',
  },
  {
    title: 'CRLF',
    before: 'A=1\r\nDATABASE_URL=postgres://h/shop\r\nB=2\r\n',
    after: 'A=1\r\nDATABASE_URL=postgres://h/shop_green\r\nB=2\r\n',
  },
  {
    title: 'a comment of the same name',
    before: '# DATABASE_URL=postgres://h/old\nDATABASE_URL=postgres://h/shop\n',
    after: '# DATABASE_URL=postgres://h/old\nDATABASE_URL=postgres://h/shop_green\n',
  },
  {
    title: 'names that begin alike',
    before:
      'DATABASE_URL_TEST=postgres://h/shop\nMY_DATABASE_URL=postgres://h/shop\nDATABASE_URL=postgres://h/shop\n',
    after:
      'DATABASE_URL_TEST=postgres://h/shop\nMY_DATABASE_URL=postgres://h/shop\nDATABASE_URL=postgres://h/shop_green\n',
  },
  {
    title: 'values of other variables that span lines',
    before: `KEY="-----BEGIN\nDATABASE_URL=postgres://h/fake\n\\"x\n-----END"\nK2='\nDATABASE_URL=postgres://h/fake2\n'\nDATABASE_URL=postgres://h/shop\n`,
    after: `KEY="-----BEGIN\nDATABASE_URL=postgres://h/fake\n\\"x\n-----END"\nK2='\nDATABASE_URL=postgres://h/fake2\n'\nDATABASE_URL=postgres://h/shop_green\n`,
  },
  {
    title: 'an apostrophe elsewhere',
    before: "NOTE=it's\nDATABASE_URL=postgres://h/shop\nN2=it's\n",
    after: "NOTE=it's\nDATABASE_URL=postgres://h/shop_green\nN2=it's\n",
  },
  {
    title: 'a driver in the scheme',
    before: 'DATABASE_URL=postgresql+psycopg2://u:p@h:5432/shop?a=/shop#f\n',
    after: 'DATABASE_URL=postgresql+psycopg2://u:p@h:5432/shop_green?a=/shop#f\n',
  },
  {
    title: 'a socket',
    before: 'DATABASE_URL=postgresql:///shop?host=/var/run/shop\n',
    after: 'DATABASE_URL=postgresql:///shop_green?host=/var/run/shop\n',
  },
  {
    title: 'a reference without quotes',
    before: 'DATABASE_URL=postgres://u:${PW}@h/shop\n',
    after: 'DATABASE_URL=postgres://u:${PW}@h/shop_green\n',
  },
  {
    title: 'a reference in quotes',
    before: 'DATABASE_URL="postgres://u:$PW@h/shop"\n',
    after: 'DATABASE_URL="postgres://u:$PW@h/shop_green"\n',
  },
  {
    title: 'punctuation without quotes',
    before: "DATABASE_URL=postgres://u:a!b*c;d(e)'f@h/shop\n",
    after: "DATABASE_URL=postgres://u:a!b*c;d(e)'f@h/shop_green\n",
  },
  {
    title: 'an escape in quotes',
    before: 'DATABASE_URL="postgres://u:a\\"b@h/shop"\n',
    after: 'DATABASE_URL="postgres://u:a\\"b@h/shop_green"\n',
  },
  {
    title: 'letters of all countries',
    before: '# grüße \u2028DATABASE_URL=no\nDATABASE_URL=postgres://ü:ß@h/shop\n',
    after: '# grüße \u2028DATABASE_URL=no\nDATABASE_URL=postgres://ü:ß@h/shop_green\n',
  },
];

for (const { title, before, after } of FORMS) {
  test(`env-file: the database is replaced and nothing else, there and back: ${title}`, async (t) => {
    const path = await fileWith(before);
    const target = openEnv({ path });
    await target.prepare('blue', 'green');
    await target.switch('blue', 'green');
    t.is(await readFile(path, 'utf8'), after);
    await target.prepare('green', 'blue');
    await target.switch('green', 'blue');
    t.is(await readFile(path, 'utf8'), before);
    t.deepEqual(await readdir(join(path, '..')), ['.env'], 'nothing is left beside it');
  });
}

test('env-file: odd database names are found however they are written, and written percent-encoded', async (t) => {
  const odd: Names = { blue: `Odd "Shop" ñ`, green: `a&b/c?d#e+f@g%'(!*)`, previous: 'x' };
  const path = await fileWith(`DATABASE_URL='postgresql://u@h/Odd%20%22Shop%22%20%c3%b1?x=1'\n`);
  const target = openEnv({ path }, { names: odd });
  await target.switch('blue', 'green');
  const value = findVariable(await readFile(path, 'utf8'), 'DATABASE_URL').value;
  t.is(value, 'postgresql://u@h/a%26b%2Fc%3Fd%23e%2Bf%40g%25%27%28%21%2A%29?x=1');
  t.is(await target.current(), 'green');
  await target.switch('green', 'blue');
  t.is(await target.current(), 'blue');
});
