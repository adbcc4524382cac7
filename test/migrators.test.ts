import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { parse } from 'yaml';
import { z } from 'zod';
import { RefusedError, StepError, UsageError, type CutoverError } from '../src/core/errors.ts';
import type { MigrationTarget, Migrator } from '../src/core/drivers/migrator.ts';
import { migrators } from '../src/migrators/registry.ts';
import { control, folderWith, migratorContract, targetOn } from './helpers/migrator-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

const env = { PATH: process.env['PATH'] ?? '' };

/** A migrator as the playbook opens it: options parsed, then given to the driver. */
function open(name: string, options: Record<string, unknown>, folder = '/'): Migrator {
  const driver = migrators[name]!;
  return driver.open(driver.options.parse(options), { folder, env, resolve: (text) => text });
}

type Reverting = Required<Migrator>;
const sqlIn = (directory: string, options: Record<string, unknown> = {}): Reverting =>
  open('sql', { directory, ...options }) as Reverting;

const fresh = async (): Promise<MigrationTarget> => targetOn(server, await server.database());
const relation = async (target: MigrationTarget, name: string): Promise<boolean> => {
  const [row] = await server.sql<{ there: boolean }>(
    `select to_regclass('${name}') is not null as there`,
    target.name,
  );
  return row!.there;
};
const versions = async (target: MigrationTarget): Promise<string[]> => {
  const rows = await server.sql('select version, status from cutover_migrations order by 1', target.name);
  return rows.map(({ version, status }) => `${version} ${status}`);
};

const failure = <E extends CutoverError>(
  t: ExecutionContext,
  work: Promise<unknown>,
  instanceOf: new (message: string) => E,
): Promise<E> => t.throwsAsync(work, { instanceOf });

/** A shell line that starts a process, and writes down which. */
const lingering = (name: string): string => `sh -c 'echo $$ > ${name}; exec sleep 60' & wait`;

migratorContract(test, () => server, {
  name: 'sql',
  knowsStatus: true,
  transactional: true,
  async open(t, statements) {
    return sqlIn(await folderWith(t, { 'V001__work.sql': statements.map((line) => `${line};\n`).join('') }));
  },
});

// A tool in miniature: runs SQL on the database whose address it finds in its environment, one statement at a time.
const TOOL = `
import pg from '${new URL('../node_modules/pg/esm/index.mjs', import.meta.url).href}';
const client = new pg.Client({ connectionString: process.env.TOOL_URL });
await client.connect();
console.log('connected to ' + process.env.TOOL_URL);
try {
  for (const statement of JSON.parse(process.argv[2])) await client.query(statement);
} catch (error) {
  console.error('tool: ' + error.message);
  process.exitCode = 3;
} finally {
  await client.end();
}
`;

migratorContract(test, () => server, {
  name: 'command',
  knowsStatus: false,
  transactional: false,
  async open(t, statements) {
    const folder = await folderWith(t, { 'tool.mjs': TOOL });
    const quoted = JSON.stringify(statements).replaceAll("'", String.raw`'\''`);
    return open(
      'command',
      { run: `'${process.execPath}' tool.mjs '${quoted}'`, variable: 'TOOL_URL' },
      folder,
    );
  },
});

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

const refused: Record<string, [sql: string, message: RegExp]> = {
  BEGIN: ['select 1;\n  begin;', /^V001__x\.sql:2:3: BEGIN does not belong here/],
  'START TRANSACTION': ['start transaction read only', /:1:1: START does not/],
  COMMIT: ['/* a */ commit', /:1:9: COMMIT does not/],
  END: ['end work', /END does not/],
  ROLLBACK: ['rollback and chain', /ROLLBACK does not/],
  ABORT: ['abort', /ABORT does not/],
  'PREPARE TRANSACTION': ["prepare transaction 'x'", /PREPARE TRANSACTION leaves/],
  'a psql command': ["select 1;\n\\set x 1\nselect 'it''s", /:2:1: \\set is a command of psql/],
  'COPY FROM STDIN': ["copy t (a, b) from stdin with (format csv);\nit's;(", /:1:1: COPY … FROM STDIN/],
  'CREATE INDEX CONCURRENTLY': [
    'create unique index concurrently i on t (a)',
    /CREATE INDEX CONCURRENTLY cannot run/,
  ],
  'DROP INDEX CONCURRENTLY': ['drop index concurrently i', /DROP INDEX CONCURRENTLY/],
  'REINDEX CONCURRENTLY': ['reindex (verbose, concurrently) table t', /REINDEX CONCURRENTLY/],
  'REINDEX in its other form': ['reindex table concurrently t', /REINDEX CONCURRENTLY/],
  VACUUM: ['vacuum analyze', /VACUUM cannot/],
  'CREATE DATABASE': ['create database x', /CREATE DATABASE cannot/],
  'DROP DATABASE': ['drop database x', /DROP DATABASE cannot/],
  'ALTER SYSTEM': ['alter system set x = 1', /ALTER SYSTEM cannot/],
  'DETACH PARTITION CONCURRENTLY': ['alter table t detach partition p concurrently', /DETACH PARTITION/],
  'DISCARD ALL': ['discard all', /DISCARD ALL/],
  'an unknown directive': [
    '-- cutover: no-transactions\nselect 1',
    /:1:1: there is no directive "no-transactions"/,
  ],
  'a directive too late': [
    'select 1;\n-- cutover: no-transaction\n',
    /:2:1: this directive has no effect here/,
  ],
  'BEGIN without COMMIT': [
    '-- cutover: no-transaction\nbegin; select 1; commit and chain;',
    /:2:1: this transaction is never/,
  ],
  'a string that is not closed': ["select 1;\nselect 'x", /:2:8: this string is never closed/],
};

for (const [name, [sql, message]] of Object.entries(refused)) {
  test(`${name} is refused before anything runs`, async (t) => {
    const folder = await folderWith(t, { 'V000__first.sql': 'create table first ()', 'V001__x.sql': sql });
    const target = await fresh();
    const planned = await failure(t, sqlIn(folder).plan(target), UsageError);
    t.regex(planned.message, message);
    t.regex(planned.detail!, / {4}\d \| .*\n {6}\| +\^/);
    t.truthy(planned.hint);
    const applied = await failure(t, sqlIn(folder).apply(target, control()), StepError);
    t.is(applied.message, planned.message);
    t.false(await relation(target, 'first'));
  });
}

test('a way back with mistakes is refused with the plan', async (t) => {
  const folder = await folderWith(t, { 'V1__a.sql': 'select 1', 'V1__a.down.sql': 'vacuum' });
  const error = await failure(t, sqlIn(folder).plan(await fresh()), UsageError);
  t.regex(error.message, /^V1__a\.down\.sql:1:1: VACUUM/);
});

test('what only looks like it is let through', async (t) => {
  const folder = await folderWith(t, {
    'V1__a.sql': `-- a note
create table concurrently_made (id int, "commit" text default 'begin;');
savepoint s; insert into concurrently_made values (1); rollback to s; release s;
create function f() returns int language sql begin atomic select case when true then 1 end; end;
do $$ begin perform 1; end $$;
copy (select 1) to '/dev/null';
create index on concurrently_made (id);`,
    'V2__b.sql': `-- cutover: no-transaction
begin; insert into concurrently_made values (2); commit;
vacuum concurrently_made;`,
  });
  const target = await fresh();
  await sqlIn(folder).apply(target, control());
  t.deepEqual(await versions(target), ['1 applied', '2 applied']);
});

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

test('the command of a team runs in its folder, with its variable, and shows its lines', async (t) => {
  const folder = await folderWith(t, {});
  const target = await fresh();
  const migrator = open(
    'command',
    { run: 'pwd; echo "${APP_DB#*@}"; printf "\\033[32m%s\\033[0m\\n" "$APP_DB" >&2', variable: 'APP_DB' },
    folder,
  );
  const recorder = control();
  const lines = await migrator.apply(target, recorder);
  t.regex(lines[0]!, / \d+(\.\d)? m?s$/);
  const { port, password } = new URL(target.url);
  t.true(recorder.notes.includes(`0/1 ${folder}`));
  t.true(recorder.notes.includes(`0/1 127.0.0.1:${port}/${target.name}`));
  t.true(recorder.notes.some((note) => note.startsWith('0/1 postgresql://postgres:***@127.0.0.1')));
  t.false(recorder.notes.join().includes(password));
  t.is(await migrator.status(target), undefined);
});

test('a command that fails says its exit code and its last lines', async (t) => {
  const target = await fresh();
  const migrator = open('command', {
    run: 'for i in $(seq 30); do echo "line $i"; done; echo "$DATABASE_URL"; exit 3',
    directory: '/tmp',
  });
  const error = await failure(t, migrator.apply(target, control()), StepError);
  t.regex(error.message, /failed with exit code 3: for i in/);
  const lines = error.detail!.split('\n');
  t.is(lines.length, 20);
  t.is(lines[0], 'line 12');
  t.regex(lines.at(-1)!, /:\*\*\*@/);
  t.regex(error.hint!, /set \w+ to a copy that nobody needs; it ran in \/tmp/);
  const unknown = await failure(
    t,
    open('command', { run: 'no-such-tool up' }).apply(target, control()),
    StepError,
  );
  t.regex(unknown.message, /exit code 127/);
  t.regex(unknown.hint!, /PATH/);
  const nowhere = open('command', { run: 'true', directory: '/no/where' }).apply(target, control());
  t.regex((await failure(t, nowhere, StepError)).message, /no folder \/no\/where/);
});

test('a command that takes too long, or is aborted, is ended with everything that it started', async (t) => {
  const folder = await folderWith(t, {});
  const target = await fresh();
  const gone = async (name: string): Promise<boolean> => {
    const pid = Number(await readFile(join(folder, name), 'utf8'));
    // Where nothing reaps orphans the entry stays, as a zombie.
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z');
    return /\) [ZX]/.test(stat);
  };
  const slow = open('command', { run: lingering('a'), timeout: '3s' }, folder);
  const error = await failure(t, slow.apply(target, control()), StepError);
  t.regex(error.message, /was ended after 3\.0 s/);
  t.regex(error.hint!, /raise timeout/);
  t.true(await gone('a'));

  const controller = new AbortController();
  const reason = new Error('enough');
  const applying = open('command', { run: lingering('b') }, folder).apply(target, control(controller.signal));
  const stopping = t.throwsAsync(applying);
  while (!(await readFile(join(folder, 'b'), 'utf8').catch(() => ''))) await sleep(20);
  controller.abort(reason);
  t.is(await stopping, reason);
  t.true(await gone('b'));
});

test('the plan of a command shows its line, and what its status line says', async (t) => {
  const target = await fresh();
  t.deepEqual(await open('command', { run: 'alembic upgrade head' }).plan(target), {
    does: ['alembic upgrade head'],
    files: [],
  });
  t.deepEqual(await open('command', { run: 'up', status: 'true' }).plan(target), {
    does: ['up', 'status: nothing is pending (true: exit code 0)'],
    files: [],
    pending: 0,
  });
  const pending = await open('command', {
    run: 'up',
    status: 'echo "$PGOPTIONS" | grep -q read_only=on && exit 4',
  }).plan(target);
  t.regex(pending.does[1]!, /^status: migrations are pending \(.*: exit code 4\)$/);
  t.throws(() => open('command', { run: 'up', variable: 'A B' }), { message: /environment variable/ });
});

const docs = (page: string): Promise<string> =>
  readFile(new URL(`../docs/migrators/${page}.md`, import.meta.url), 'utf8');
const blocks = (page: string, language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`{3}${language}\\n(.*?)^\`{3}$`, 'gms'))].map((match) => match[1]!);

test('the pages describe every option, and their examples are right', async (t) => {
  for (const [name, driver] of Object.entries(migrators)) {
    const page = await docs(name);
    for (const block of blocks(page, 'yaml')) {
      const { migrate } = parse(block) as { migrate: Record<string, unknown>[] };
      for (const use of migrate) t.notThrows(() => driver.options.parse(use[name]));
    }
    const { properties } = z.toJSONSchema(driver.options, { io: 'input' });
    for (const option of Object.keys(properties ?? {}))
      t.regex(page, new RegExp(`^\\| \`${option}\` \\|`, 'm'));
  }
  const page = await docs('sql');
  const fixture = new URL('../fixtures/shopping-points/migrations/V005__index_tier_id.sql', import.meta.url);
  t.deepEqual(blocks(page, 'sql'), [await readFile(fixture, 'utf8')]);
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
