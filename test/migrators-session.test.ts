// Where the files run: the session, the lock and the version table.
import test from 'ava';
import { StepError } from '../src/core/errors.ts';
import type { MigrationTarget } from '../src/core/drivers/migrator.ts';
import { control, folderWith } from './helpers/migrator-contract.ts';
import { failure, migratorSuite, sqlIn } from './helpers/migrator-suite.ts';

const { server, fresh, relation, versions } = migratorSuite();

test('every file begins with the session as the database gives it', async (t) => {
  const folder = await folderWith(t, {
    'V1__a.sql': `set search_path = pg_catalog; create role outsider_${process.pid}; set role outsider_${process.pid};
create temp table tiers (id int); set statement_timeout = 12345; set standard_conforming_strings = off;`,
    'V2__b.sql': `create table facts as select current_user::text as who, current_setting('search_path') as path,
  current_setting('application_name') as app, current_setting('lock_timeout') as lock,
  current_setting('statement_timeout') as statement, to_regclass('tiers')::text as tiers, '\\' as backslash`,
  });
  const target = await fresh();
  await server.sql(`alter database ${target.name} set search_path = public, extra`, target.name);
  await server.sql(`alter database ${target.name} set standard_conforming_strings = off`, target.name);
  await sqlIn(folder, { 'lock-timeout': '3s', 'statement-timeout': '1m' }).apply(target, control());
  t.deepEqual(await server.sql('select * from facts', target.name), [
    {
      who: 'postgres',
      path: 'public, extra',
      app: 'cutover migrate',
      lock: '3s',
      statement: '1min',
      tiers: null as never,
      backslash: '\\',
    },
  ]);
});

test('a role that the session was opened with stays', async (t) => {
  const target = await fresh();
  await server.sql(`create role "Owner"; grant all on schema public to "Owner"`, target.name);
  const asOwner: MigrationTarget = {
    ...target,
    async session() {
      const session = await target.session();
      await session.query(`set role "Owner"`);
      return session;
    },
  };
  await sqlIn(await folderWith(t, { 'V1__a.sql': 'create table a ()' })).apply(asOwner, control());
  const owners = await server.sql(
    `select distinct tableowner from pg_tables where schemaname = 'public'`,
    target.name,
  );
  t.deepEqual(owners, [{ tableowner: 'Owner' }]);
});

test('two migrators at once: the second waits, and finds everything done', async (t) => {
  const folder = await folderWith(t, { 'V1__a.sql': 'create table a (); select pg_sleep(1)' });
  const target = await fresh();
  const [one, two] = await Promise.all([
    sqlIn(folder).apply(target, control()),
    sqlIn(folder).apply(target, control()),
  ]);
  t.is(one.length + two.length, 1);
  t.deepEqual(await versions(target), ['1 applied']);
});

test('two migrators at once: the second names the holder when it has waited long enough', async (t) => {
  const folder = await folderWith(t, { 'V1__a.sql': 'create table a (); select pg_sleep(60)' });
  const target = await fresh();
  const controller = new AbortController();
  const reason = new Error('enough');
  const { promise: beginning, resolve: begun } = Promise.withResolvers<void>();
  const first = sqlIn(folder).apply(target, { signal: controller.signal, progress: () => begun() });
  await Promise.race([beginning, first]);
  const error = await failure(t, sqlIn(folder, { 'lock-wait': '400ms' }).apply(target, control()), StepError);
  t.regex(
    error.message,
    /holds the lock on public\.cutover_migrations after 400 ms: pid \d+, application_name "cutover migrate"/,
  );
  t.regex(error.hint!, /pg_terminate_backend\(\d+\)/);
  // Another version table is another lock.
  const other = await folderWith(t, { 'V1__x.sql': 'select 1' });
  t.is((await sqlIn(other, { table: 'other', 'lock-wait': '0s' }).apply(target, control())).length, 1);
  controller.abort(reason);
  t.is(await t.throwsAsync(first), reason);
});

test('a version table of another make, or in no schema, is told', async (t) => {
  const folder = await folderWith(t, { 'V1__a.sql': 'select 1' });
  const target = await fresh();
  await server.sql('create table cutover_migrations (id int)', target.name);
  const foreign = await failure(t, sqlIn(folder).plan(target), StepError);
  t.regex(foreign.message, /public\.cutover_migrations cannot be read: .*\(42703\)/);
  const nowhere = await failure(t, sqlIn(folder, { table: 'no.where' }).apply(target, control()), StepError);
  t.regex(nowhere.message, /no\."?where"? cannot be made: schema "no" does not exist/);
  t.regex(nowhere.hint!, /make the schema/);
  t.is((await sqlIn(folder, { table: '"Odd.Name"' }).apply(target, control())).length, 1);
  t.true(await relation(target, '"Odd.Name"'));
  t.throws(() => sqlIn(folder, { table: 'a.b.c' }), { message: /name of a table/ });
  t.throws(() => sqlIn(folder, { tabel: 'x' }), { message: /tabel/ });
});
