import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { UsageError } from '../src/core/errors.ts';
import { PlaybookError } from '../src/core/text/mistakes.ts';
import { addressOf } from '../src/databases/postgres/address.ts';
import { Connection } from '../src/databases/postgres/connection.ts';
import { readFixture, type Write } from '../src/databases/postgres/fixture/describe.ts';
import { loadFixture } from '../src/databases/postgres/fixture/load.ts';
import { loadPlaybook } from '../src/playbook/load.ts';
import { createEnvironment } from '../src/playbook/values/environment.ts';
import { inProportion } from '../src/rehearse/clients/proportion.ts';
import { root, workplace } from './helpers/cli.ts';
import { testServer } from './helpers/postgres.ts';

const WRONG = `database: shop
load:
  - good.sql
  - none.sql
  - rows.csv
  - { csv: good.sql, into: t }
  - { csv: rows.csv, into: a.b.c }
  - { csv: rows.csv, into: t, colums: [] }
sead: 1
scale: large
description: \${NOTHING} is looked up
writes:
  - { sql: x, weight: 0 }
`;

test('every mistake of a description is told at its place, and nothing is loaded', async (t) => {
  const work = await workplace(t);
  await work.file('good.sql', 'create table good (id int)');
  await work.file('rows.csv', 'id\n1\n');
  const file = await work.file('fixture.yml', WRONG);
  const server = await testServer();
  t.teardown(() => server.stop());
  const name = await server.database('untouched');
  const connection = await Connection.open(addressOf(server.url(name), 'fixture'), name);
  t.teardown(() => connection.end());
  const error = await t.throwsAsync(loadFixture(connection, work.folder), { instanceOf: PlaybookError });
  t.is(error.message, `${file} has 8 mistakes`);
  t.is(error.exit, 2);
  t.deepEqual(
    error.mistakes.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`),
    [
      '4:5 load[1]: there is no such file in this folder',
      '5:5 load[2]: of no kind that can be loaded; there are .sql, .sql.gz and .dump, and rows as { csv: rows.csv, into: public.table }',
      '6:12 load[3].csv: rows are in files that end in .csv or .csv.gz',
      '7:28 load[4].into: a.b.c is no name of a table',
      '8:31 load[5].colums: unknown key; did you mean "columns"?',
      '9:1 sead: unknown key; did you mean "seed"?',
      '10:8 scale: must be a number',
      '13:23 writes[0].weight: must be at least 1',
    ],
  );
  t.true(error.detail!.includes(`${file}:9:1  sead: `), error.detail);
  t.true(error.detail!.includes('    9 | sead: 1\n      | ^^^^'), error.detail);
  t.deepEqual(await server.sql(`select from pg_class where relname = 'good'`, name), []);
});

test('what is no description at all is told, too', async (t) => {
  const work = await workplace(t);
  const wrong: [text: string, says: RegExp][] = [
    ['', /1:1 {2}the fixture is empty; it begins with "database: shop"/],
    ['- good.sql\n', /a fixture is a map/],
    ['load: []\nload: []\n', /2:1 {2}load: the same key stands here twice/],
    ['load: [good.sql\n', /not valid YAML/],
    ['database: shop\n', /1:1 {2}load: missing/],
    ['load: []\n---\nload: []\n', /a file holds one fixture/],
  ];
  for (const [text, says] of wrong) {
    await work.file('fixture.yml', text);
    const error = await t.throwsAsync(readFixture(work.folder), { instanceOf: PlaybookError });
    t.regex(error.detail!, says);
  }
});

/** Rows of a table with so many columns. */
const entry = (count: number): string =>
  `  - { csv: rows.csv, into: t, columns: [${Array.from({ length: count }, (_, at) => `c${at}`).join(', ')}] }\n`;

test('it may list every column of a large database, and no more than that', async (t) => {
  const work = await workplace(t);
  await work.file('rows.csv', '');
  await work.file('fixture.yml', `load:\n${entry(1600).repeat(40)}`);
  t.is((await readFixture(work.folder)).load.length, 40);
  await work.file('fixture.yml', `load: &all\n${entry(1600)}x: [${'*all,'.repeat(300)}]\n`);
  const error = await t.throwsAsync(readFixture(work.folder), { instanceOf: PlaybookError });
  t.regex(error.detail!, /more than 400000 values, aliases included: this is no fixture/);
});

test('JSON is YAML, and a folder with the old name is told to rename it', async (t) => {
  const work = await workplace(t);
  const none = await t.throwsAsync(readFixture(work.folder), { instanceOf: UsageError });
  t.regex(none.message, /^no fixture\.yml in /);
  await work.file('fixture.json', '{ "database": "shop", "load": [] }');
  const old = await t.throwsAsync(readFixture(work.folder), { instanceOf: UsageError });
  t.regex(old.hint!, /rename fixture\.json to fixture\.yml/);
  const playbook = await work.file(
    'playbook.yml',
    'version: 1\nname: shop\nblue: { embedded: { fixture: . } }\nswitch: { targets: [database-rename] }\n',
  );
  const refused = await t.throwsAsync(loadPlaybook(playbook, createEnvironment({})));
  t.regex(
    (refused as PlaybookError).detail!,
    /3:\d+ {2}blue\.embedded\.fixture: .*rename fixture\.json to fixture\.yml/,
  );
  await rename(join(work.folder, 'fixture.json'), join(work.folder, 'fixture.yml'));
  t.is((await readFixture(work.folder)).database, 'shop');
  t.is((await loadPlaybook(playbook, createEnvironment({}))).blue.kind, 'embedded');
});

test('every fixture of the project can be read', async (t) => {
  const folders = (await readdir(join(root, 'fixtures'))).filter((name) => name !== 'alembic-app');
  t.true(folders.length > 2);
  for (const name of folders) await t.notThrowsAsync(readFixture(join(root, 'fixtures', name)), name);
});

test('writes are made as often as their weights say, spread over the whole', async (t) => {
  const work = await workplace(t);
  await work.file('fixture.yml', JSON.stringify({ load: [], writes: ['a', { sql: 'b', weight: 3 }] }));
  const { writes } = await readFixture(work.folder);
  t.deepEqual(
    inProportion(writes as readonly Write[]).map(({ sql }) => sql),
    ['b', 'a', 'b', 'b'],
  );
  t.deepEqual(inProportion([]), []);
});
