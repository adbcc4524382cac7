// The way back, and up again.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { StepError } from '../src/core/errors.ts';
import { control, folderWith } from './helpers/migrator-contract.ts';
import { failure, migratorSuite, sqlIn } from './helpers/migrator-suite.ts';

const { server, fresh, relation, versions } = migratorSuite();

test('down and up again', async (t) => {
  const folder = await folderWith(t, {
    'V1__a.sql': 'create table a (id int)',
    'V1__a.down.sql': 'drop table a',
    'V2__b.sql': 'alter table a add x int',
    'V2__b.down.sql': 'alter table a drop x',
    'V3__c.sql': '-- cutover: no-transaction\ncreate index concurrently c on a (x)',
    'V3__c.down.sql': '-- cutover: no-transaction\ndrop index concurrently c',
  });
  const target = await fresh();
  const migrator = sqlIn(folder);
  await migrator.apply(target, control());
  const recorder = control();
  const lines = await migrator.revert(target, { steps: 2 }, recorder);
  t.deepEqual(
    lines.map((line) => line.split(':')[0]),
    ['V3__c.down.sql', 'V2__b.down.sql'],
  );
  t.is(recorder.notes[0], '0/2 V3__c.down.sql');
  t.deepEqual(await versions(target), ['1 applied', '2 rolled back', '3 rolled back']);
  const [times] = await server.sql(
    'select count(rolled_back_at)::text as n from cutover_migrations',
    target.name,
  );
  t.is(times!.n, '2');
  t.like(await migrator.status(target), [
    { state: 'applied' },
    { state: 'rolled-back' },
    { state: 'rolled-back' },
  ]);
  t.is((await migrator.plan(target)).pending, 2);

  // What is rolled back may be rewritten.
  await writeFile(join(folder, 'V2__b.sql'), 'alter table a add x bigint');
  t.is((await migrator.apply(target, control())).length, 2);
  t.deepEqual(await versions(target), ['1 applied', '2 applied', '3 applied']);

  const unknown = await failure(t, migrator.revert(target, { to: '7' }, control()), StepError);
  t.regex(unknown.message, /version 7 is not applied/);
  t.is((await migrator.revert(target, { to: '01' }, control())).length, 2);
  t.deepEqual(await migrator.revert(target, { to: '1' }, control()), []);
  t.is((await migrator.revert(target, { to: '0' }, control())).length, 1);
  t.false(await relation(target, 'a'));
});

test('a way back that is missing is told before anything runs, one that fails leaves its version applied', async (t) => {
  const folder = await folderWith(t, {
    'V1__a.sql': 'create table a ()',
    'V2__b.sql': 'create table b ()',
    'V2__b.down.sql': 'drop table b',
  });
  const target = await fresh();
  const migrator = sqlIn(folder);
  await migrator.apply(target, control());
  const error = await failure(t, migrator.revert(target, { steps: 2 }, control()), StepError);
  t.regex(error.message, /^V1__a\.sql: has no way back/);
  t.true(await relation(target, 'b'));

  await writeFile(join(folder, 'V2__b.down.sql'), 'drop table b;\nselect wrong');
  const wrong = await failure(t, migrator.revert(target, { steps: 1 }, control()), StepError);
  t.regex(wrong.message, /^V2__b\.down\.sql:2:8: column "wrong"/);
  t.true(await relation(target, 'b'));
  t.deepEqual(await versions(target), ['1 applied', '2 applied']);
});

test('the fixture goes all the way there and all the way back', async (t) => {
  const fixture = new URL('../fixtures/shopping-points/', import.meta.url);
  const target = await fresh();
  await server.sql(await readFile(new URL('schema.sql', fixture), 'utf8'), target.name);
  const migrator = sqlIn(new URL('migrations', fixture).pathname);
  const count = (await migrator.apply(target, control())).length;
  t.true(count > 0);
  t.is((await migrator.revert(target, { to: '0' }, control())).length, count);
  t.is((await migrator.apply(target, control())).length, count);
});
