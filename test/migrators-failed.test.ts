// A file that fails or is stopped: what is said of it, and what stays.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { StepError } from '../src/core/errors.ts';
import { control, folderWith } from './helpers/migrator-contract.ts';
import { failure, migratorSuite, sqlIn } from './helpers/migrator-suite.ts';

const { server, fresh, relation, versions } = migratorSuite();

test('a runtime error in the third file names file, line and column, and leaves nothing of it', async (t) => {
  const folder = new URL('../fixtures/shopping-points/broken-migrations', import.meta.url).pathname;
  const target = await fresh();
  await server.sql(
    'create table shops (id varchar(36) primary key, is_online bool); create table shop_program_rates (shop_id varchar(36))',
    target.name,
  );
  const error = await failure(t, sqlIn(folder).apply(target, control()), StepError);
  t.is(error.message, 'V003__score_shops.sql:8:12: column rate.points does not exist (42703)');
  t.is(error.where, `${folder}/V003__score_shops.sql:8:12`);
  t.is(error.detail, '    8 |        sum(rate.points)\n      |            ^\nSQLSTATE: 42703');
  t.regex(error.hint!, /nothing of V003__score_shops\.sql stays/);
  t.false(await relation(target, 'shop_scores'));
  t.deepEqual(await versions(target), ['001 applied', '002 applied']);
});

test('characters of several bytes before an error do not shift its place', async (t) => {
  const folder = await folderWith(t, {
    'V1__a.sql': "\uFEFF-- Größe 😀\nselect 'ü😀'; select\n  '😀ö', wrong;\n",
  });
  const error = await failure(t, sqlIn(folder).apply(await fresh(), control()), StepError);
  t.is(error.message, 'V1__a.sql:3:9: column "wrong" does not exist (42703)');
  t.is(error.detail!.split('\n').slice(0, 2).join('\n'), "    3 |   '😀ö', wrong;\n      |         ^");
});

test('an error without a place is told at its statement, with what the server says about it', async (t) => {
  const folder = await folderWith(t, {
    'V1__a.sql': `create table a (id int primary key);
  do $$
begin
  insert into a values (7), (7);
end $$;`,
    'V2__b.sql': 'select 1',
  });
  const error = await failure(t, sqlIn(folder).apply(await fresh(), control()), StepError);
  t.regex(error.message, /^V1__a\.sql:2:3: duplicate key value .* \(23505\)$/);
  t.regex(error.detail!, /detail: Key \(id\)=\(7\) already exists/);
  t.regex(error.detail!, /context: SQL statement .*\n?.*PL\/pgSQL function inline_code_block line 3/);
});

test('a deferred constraint that fails at COMMIT leaves nothing', async (t) => {
  const folder = await folderWith(t, {
    'V1__a.sql': `create table a (id int unique deferrable initially deferred); insert into a values (1), (1);`,
  });
  const target = await fresh();
  const error = await failure(t, sqlIn(folder).apply(target, control()), StepError);
  t.regex(error.message, /^V1__a\.sql: at COMMIT: duplicate key .*\(23505\)/);
  t.false(await relation(target, 'a'));
  t.deepEqual(await versions(target), []);
});

test('a file without a transaction that fails is marked, and stands in the way until it is settled', async (t) => {
  const folder = await folderWith(t, {
    'V1__a.sql': '-- cutover: no-transaction\ncreate table a (id int);\nselect wrong;\ncreate table b ();',
  });
  const target = await fresh();
  const migrator = sqlIn(folder);
  const first = await failure(t, migrator.apply(target, control()), StepError);
  t.regex(first.message, /^V1__a\.sql:3:8: column "wrong"/);
  t.regex(first.hint!, /statements before this one stay/);
  t.true(await relation(target, 'a'));
  t.deepEqual(await versions(target), ['1 failed']);
  const second = await failure(t, migrator.apply(target, control()), StepError);
  t.regex(second.message, /version 1 was begun and not finished \(failed in public\.cutover_migrations\)/);
  t.like(await migrator.status(target), [{ state: 'failed' }]);

  await server.sql('drop table a', target.name);
  await server.sql(/nothing of it is there: (.*)$/m.exec(second.hint!)![1]!, target.name);
  await writeFile(join(folder, 'V1__a.sql'), '-- cutover: no-transaction\ncreate table a (id int);');
  await migrator.apply(target, control());
  t.deepEqual(await versions(target), ['1 applied']);
});

test('a connection that is killed in the middle leaves nothing of the file, and the next run goes on', async (t) => {
  const folder = await folderWith(t, {
    'V1__a.sql': 'create table a ()',
    'V2__b.sql': `create table b ();
select pg_sleep(case when to_regclass('killed') is null then 30 else 0 end)`,
  });
  const target = await fresh();
  const applying = sqlIn(folder).apply(target, control());
  const kill = async (): Promise<void> => {
    for (let killed = 0; killed === 0; await sleep(50)) {
      killed = (
        await server.sql(
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${target.name}' and query like 'select pg_sleep%'`,
        )
      ).length;
    }
  };
  const [error] = await Promise.all([failure(t, applying, StepError), kill()]);
  t.regex(error.message, /^V2__b\.sql:2:1: .*(57P01|terminated)/);
  t.regex(error.hint!, /the connection was lost/);
  t.deepEqual(await versions(target), ['1 applied']);
  t.false(await relation(target, 'b'));
  await server.sql('create table killed ()', target.name);
  t.is((await sqlIn(folder).apply(target, control())).length, 1);
  t.deepEqual(await versions(target), ['1 applied', '2 applied']);
});

test('an abort between files leaves the ones before it', async (t) => {
  const folder = await folderWith(t, { 'V1__a.sql': 'create table a ()', 'V2__b.sql': 'create table b ()' });
  const target = await fresh();
  const controller = new AbortController();
  const reason = new Error('enough');
  const stopping = {
    signal: controller.signal,
    progress: (done: number) => (done === 1 ? controller.abort(reason) : undefined),
  };
  t.is(await t.throwsAsync(sqlIn(folder).apply(target, stopping)), reason);
  t.deepEqual(await versions(target), ['1 applied']);
  t.false(await relation(target, 'b'));
});
