// A folder of SQL files: what its plan shows, and which files do not go together.
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { RefusedError, StepError, UsageError } from '../src/core/errors.ts';
import { control, folderWith } from './helpers/migrator-contract.ts';
import { failure, migratorSuite, sqlIn } from './helpers/migrator-suite.ts';

const { server, fresh, relation, versions } = migratorSuite();

test('the plan shows pending files, their statements and a fingerprint of all files', async (t) => {
  const folder = await folderWith(t, {
    'V1__first.sql': 'create table a (id int);',
    'V1__first.down.sql': 'drop table a;',
    'V2__second.sql':
      "insert into a\nvalues (1);\r\n/* x */ select 2;create role planned password 'hunter22'; drop role planned;",
    'V10__third.sql': '-- cutover: no-transaction\ncreate index concurrently on a (id);',
    'README.md': 'not SQL',
  });
  const target = await fresh();
  const migrator = sqlIn(folder);
  const plan = await migrator.plan(target);
  t.deepEqual(plan.does, [
    'V1__first.sql: 1 statement, in one transaction',
    '  create table a (id int)',
    'V2__second.sql: 4 statements, in one transaction',
    '  insert into a …',
    '  select 2',
    "  create role planned password '***'",
    '  drop role planned',
    'V10__third.sql: 1 statement, without a transaction',
    '  create index concurrently on a (id)',
  ]);
  t.is(plan.pending, 3);
  t.deepEqual(
    plan.files.map(({ path }) => path.slice(folder.length + 1)),
    ['V1__first.sql', 'V1__first.down.sql', 'V2__second.sql', 'V10__third.sql'],
  );
  t.deepEqual(
    await server.sql(`select 1 from pg_class where relname = 'cutover_migrations'`, target.name),
    [],
  );

  const recorder = control();
  const lines = await migrator.apply(target, recorder);
  t.regex(lines[1]!, /^V2__second\.sql: 4 statements, \d+(\.\d)? m?s$/);
  t.is(recorder.notes[0], '0/3 V1__first.sql');
  t.is(recorder.notes.at(-1), '3/3 V10__third.sql');
  t.deepEqual(await versions(target), ['1 applied', '10 applied', '2 applied']);
  t.deepEqual((await migrator.plan(target)).does, ['nothing is pending: 3 migrations applied']);
  t.deepEqual(await migrator.apply(target, control()), []);
});

test('a file of many statements does not fill the plan', async (t) => {
  const folder = await folderWith(t, { 'V1__rows.sql': 'select 1;'.repeat(1052) });
  const { does } = await sqlIn(folder).plan(await fresh());
  t.is(does.length, 52);
  t.is(does.at(-1), '  … and 1,002 more');
});

test('line breaks do not change a checksum, a changed word does', async (t) => {
  const folder = await folderWith(t, { 'V001__a.sql': 'select 1;\nselect 2;\n' });
  const migrator = sqlIn(folder);
  const target = await fresh();
  const before = (await migrator.plan(target)).files;
  await migrator.apply(target, control());
  await writeFile(join(folder, 'V001__a.sql'), 'select 1;\r\nselect 2;\r\n');
  t.deepEqual((await migrator.plan(target)).files, before);
  t.deepEqual(await migrator.apply(target, control()), []);

  await writeFile(join(folder, 'V001__a.sql'), 'select 1;\nselect 3;\n');
  const error = await failure(t, migrator.apply(target, control()), StepError);
  t.regex(
    error.message,
    /^V001__a\.sql: version 001 was changed after .*checksum [0-9a-f]{12} applied, [0-9a-f]{12} in/,
  );
  t.true(error.message.includes(before[0]!.sha256.slice(0, 12)));
  t.regex(error.hint!, /new version/);
  t.is((await failure(t, migrator.plan(target), RefusedError)).message, error.message);
  t.like(await migrator.status(target), [{ version: '001', state: 'changed' }]);
});

test('an applied version without its file, and a version out of order, are refused', async (t) => {
  const folder = await folderWith(t, { 'V001__a.sql': 'select 1', 'V003__c.sql': 'select 3' });
  const migrator = sqlIn(folder);
  const target = await fresh();
  await migrator.apply(target, control());
  await writeFile(join(folder, 'V002__b.sql'), 'create table b ()');
  const late = await failure(t, migrator.apply(target, control()), StepError);
  t.regex(late.message, /^V002__b\.sql: version 002 is out of order: 003 is applied/);
  t.regex(late.hint!, /rename it/);
  t.false(await relation(target, 'b'));

  await rm(join(folder, 'V003__c.sql'));
  const both = await failure(t, migrator.plan(target), RefusedError);
  t.is(both.message, '2 mistakes in the migrations');
  t.regex(both.detail!, /version 003: "c" is applied, and its file is not in the folder/);
  t.regex(both.detail!, /V002__b\.sql: version 002 is out of order/);
  t.like(await migrator.status(target), [
    { version: '001', state: 'applied' },
    { version: '002', state: 'pending' },
    { version: '003', state: 'missing', description: 'c' },
  ]);
});

test('versions are compared as numbers, and a file keeps its version when zeros are added', async (t) => {
  const folder = await folderWith(t, {
    'V9__nine.sql': 'create table n (id int)',
    'V10__ten.sql': 'insert into n values (10)',
    'V10.2__small.sql': 'insert into n values (102)',
    'V10_10__big.sql': 'insert into n values (1010)',
  });
  const target = await fresh();
  const lines = await sqlIn(folder).apply(target, control());
  t.deepEqual(
    lines.map((line) => line.split(':')[0]),
    ['V9__nine.sql', 'V10__ten.sql', 'V10.2__small.sql', 'V10_10__big.sql'],
  );
  await rename(join(folder, 'V9__nine.sql'), join(folder, 'V009__nine.sql'));
  t.deepEqual(await sqlIn(folder).apply(target, control()), []);
});

test('everything that is wrong in a folder is told at once', async (t) => {
  const folder = await folderWith(t, {
    'V001__a.sql': 'select 1',
    'V1.0__again.sql': 'select 1',
    'V2_no_description.sql': 'select 1',
    'V003__gone.down.sql': 'select 1',
    'V004__latin.sql': Buffer.from("select 'Stra\xdfe'", 'latin1'),
    'V005__empty.sql': '-- nothing\n',
    'V006__utf16.sql': Buffer.from('select 1', 'utf16le'),
    'notes.txt': '',
    '.V001__a.sql.swp.sql': '',
  });
  await mkdir(join(folder, 'old.sql'));
  const error = await failure(t, sqlIn(folder).plan(await fresh()), UsageError);
  t.is(error.message, '6 mistakes in the migrations');
  const detail = error.detail!;
  t.regex(detail, /V1\.0__again\.sql: has the same version as V001__a\.sql/);
  t.regex(detail, /V2_no_description\.sql: the name is not that of a migration\n.*V001__add_tiers\.sql/);
  t.regex(detail, /V003__gone\.down\.sql: is a way back, and V003__gone\.sql is not there/);
  t.regex(detail, /V004__latin\.sql: is not UTF-8/);
  t.regex(detail, /V005__empty\.sql: has no statement in it/);
  t.regex(detail, /V006__utf16\.sql: holds NUL characters/);
  t.true(error.where!.includes(join(folder, 'V004__latin.sql')));
  await failure(t, sqlIn(folder).apply(await fresh(), control()), StepError);

  const missing = await failure(t, sqlIn(join(folder, 'nowhere')).plan(await fresh()), UsageError);
  t.regex(missing.message, /nowhere: this folder is not there/);
  const empty = await failure(
    t,
    sqlIn(await folderWith(t, { 'README.md': '' })).plan(await fresh()),
    UsageError,
  );
  t.regex(empty.message, /no migrations there/);
});
