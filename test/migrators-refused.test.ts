// Statements that do not belong in a migration are refused before anything runs.
import test from 'ava';
import { StepError, UsageError } from '../src/core/errors.ts';
import { control, folderWith } from './helpers/migrator-contract.ts';
import { failure, migratorSuite, sqlIn } from './helpers/migrator-suite.ts';

const { fresh, relation, versions } = migratorSuite();

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
