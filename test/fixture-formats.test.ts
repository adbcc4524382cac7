import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ava from 'ava';
import { addressOf } from '../src/databases/postgres/address.ts';
import { Connection } from '../src/databases/postgres/connection.ts';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { loadFixture } from '../src/databases/postgres/fixture/load.ts';
import { workplace, type Workplace } from './helpers/cli.ts';
import { loadFixture as loadOdd } from './helpers/fixture.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';

const pgDump = await findTool('pg_dump', undefined).catch(() => undefined);
const MAJOR = majors().includes(15) ? 15 : undefined;
const missing = [...(MAJOR ? [] : ['PostgreSQL 15']), ...(pgDump ? [] : ['pg_dump'])];
const SKIPPED = missing.length > 0 ? ` (SKIPPED: ${missing.join(', ')} is not installed)` : '';
const withDump = missing.length > 0 ? ava.skip : ava;
const test = ava;

let server: TestServer;
ava.before(async () => {
  server = await testServer(MAJOR);
});
ava.after.always(() => server?.stop());

type Entry = string | { csv: string; into: string; columns?: string[] };

/** Loads files of a workplace into a new database, and gives its name. */
async function load(work: Workplace, load: readonly Entry[], more: object = {}): Promise<string> {
  await work.file('fixture.yml', JSON.stringify({ load, ...more }));
  const name = await server.database('loaded');
  const connection = await Connection.open(addressOf(server.url(name), 'fixture'), name);
  try {
    await loadFixture(connection, work.folder);
  } finally {
    await connection.end();
  }
  return name;
}

/** Lines in quotes that look as if rows or commands came now. */
const TRAPS = `
create role trapped;
create function trap() returns text language plpgsql as $f$
begin
/*
COPY nothing FROM stdin;
\\.
\\restrict this
*/
return 'no; end';
end $f$;
create function atomic() returns int begin atomic select 1; select 2; end;
comment on function trap() is 'begin;
COPY more FROM stdin;
1	2
\\.
';
create table "trap; table" (id int generated always as identity, "FROM stdin;" text);
insert into "trap; table" ("FROM stdin;") values (E'\\\\.\\n\\\\.\\nCOPY x FROM stdin;\\n\\u2028\\r\\n'), (repeat('wide ', 100000)), (null), ('');
alter table "trap; table" owner to trapped;
grant select on "trap; table" to public;
`;

withDump(`a dump is loaded as it is, as text, packed, and as an archive${SKIPPED}`, async (t) => {
  const work = await workplace(t);
  const source = await server.database('Odd "Shop" ñ');
  await loadOdd(server, source, 'odd-names');
  await server.sql(TRAPS, source);
  const dump = (...args: string[]): Buffer =>
    execFileSync(pgDump!, [...args, server.url(source)], { maxBuffer: 2 ** 28 });
  const text = dump();
  t.true(text.includes('OWNER TO trapped'));
  await writeFile(join(work.folder, 'text.sql'), text);
  await writeFile(join(work.folder, 'packed.sql.gz'), gzipSync(text));
  await writeFile(join(work.folder, 'archive.dump'), dump('-Fc'));
  for (const file of ['text.sql', 'packed.sql.gz', 'archive.dump']) {
    const loaded = await load(work, [file]);
    const { code, out, err } = await work.cutover(
      ['compare', '${ONE}', '${OTHER}', '--checks', 'checksums,sequences,row-counts', '-q'],
      { ONE: server.url(source), OTHER: server.url(loaded) },
    );
    t.is(code, 0, `${file}: ${out}${err}`);
    const [facts] = await server
      .sql(
        `select pg_get_userbyid(relowner) as owner, relacl::text as acl, trap() as trap, atomic()::text as atomic,
         obj_description('trap()'::regprocedure) as comment from pg_class where relname = 'trap; table'`,
        loaded,
      )
      .catch((error: unknown) => [{ error: String(error) }]);
    t.like(facts, { owner: 'postgres', acl: null, atomic: '2' }, file);
    t.true((facts as { comment: string }).comment.includes('COPY more FROM stdin;\n1\t2\n\\.\n'));
  }
});

withDump(`a dump that cannot be loaded says why${SKIPPED}`, async (t) => {
  const work = await workplace(t);
  const source = await server.database();
  await server.sql('create table t as select n from generate_series(1, 100) n', source);
  const dump = (...args: string[]): string =>
    execFileSync(pgDump!, [...args, server.url(source)], { encoding: 'utf8' });
  const text = dump();
  const wrong: [name: string, content: string | Buffer, says: RegExp][] = [
    ['rows.sql', text.slice(0, text.indexOf('\n50\n')), /ends in the middle of rows/],
    ['half.sql', text.slice(0, text.indexOf('CREATE TABLE') + 20), /ends in the middle of a statement/],
    ['create.sql', dump('--create'), /makes a database of its own/],
    ['psql.sql', `${text}\n\\connect other\n`, /only psql knows: \\connect other/],
    ['latin.sql', dump('--encoding=LATIN1'), /encoded in LATIN1/],
    ['server.sql', '--\n-- PostgreSQL database cluster dump\n--\n', /dump of a whole server/],
    ['no.dump', 'no archive', /pg_restore failed/],
    ['no.sql.gz', 'not packed', /incorrect header check/],
    ['bad.sql', text.replace('\n50\n', '\nfifty\n'), /invalid input syntax for type integer: "fifty"/],
  ];
  for (const [name, content, says] of wrong) {
    await writeFile(join(work.folder, name), content);
    const error = await t.throwsAsync(load(work, [name]), { message: says }, name);
    t.regex(String((error as { where?: string }).where), new RegExp(name));
  }
});

test('rows come from CSV, plain or packed, under the names of the first line', async (t) => {
  const work = await workplace(t);
  const sql = `create schema "Odd.One"; create table "Odd.One"."a ""b""" (id int generated always as identity, "x,y" text, twice int generated always as (id * 2) stored);
    create table plain (a text); create table bare ()`;
  await work.file('schema.sql', sql);
  await work.file('rows.csv', 'id,"x,y"\n7,"a ""quoted"",\nline"\n8,\n9,""\n');
  await writeFile(join(work.folder, 'more.csv.gz'), gzipSync('a\n"ä\\n"\n'));
  await work.file('bare.csv', '\n\n\n');
  const entry = { csv: 'rows.csv', into: '"Odd.One"."a ""b"""', columns: ['id', 'x,y'] };
  const name = await load(work, [
    'schema.sql',
    entry,
    { csv: 'more.csv.gz', into: 'plain' },
    { csv: 'bare.csv', into: 'public.bare', columns: [] },
  ]);
  t.deepEqual(await server.sql('select * from "Odd.One"."a ""b""" order by id', name), [
    { id: 7, 'x,y': 'a "quoted",\nline', twice: 14 },
    { id: 8, 'x,y': null, twice: 16 },
    { id: 9, 'x,y': '', twice: 18 },
  ] as never);
  t.deepEqual(await server.sql('select * from plain', name), [{ a: 'ä\\n' }]);
  t.deepEqual(await server.sql('select count(*)::int as n from bare', name), [{ n: 2 }] as never);
  await work.file('rows.csv', '"x,y",id\n1,2\n');
  const error = await t.throwsAsync(load(work, ['schema.sql', entry]), { message: /column name mismatch/ });
  t.regex(String((error as { where?: string }).where), /rows\.csv: COPY a "b", line 1/);
});

test('what one file sets does not reach the next, and each begins at the seed', async (t) => {
  const work = await workplace(t);
  await work.file(
    'a.sql',
    `create role "somebody ${process.pid}"; create table draws (at int, drawn float8, scale text); grant all on draws to public;
     insert into draws select 1, random(), current_setting('cutover.scale');
     select set_config('search_path', '', false); set statement_timeout = '1s'; set cutover.scale = 9; set session authorization "somebody ${process.pid}"`,
  );
  await work.file(
    'b.sql',
    `select pg_sleep(1.5); insert into draws select 2, random(), current_setting('cutover.scale'); create table after (id int)`,
  );
  const name = await load(work, ['a.sql', 'b.sql'], { scale: 3, seed: 5 });
  const [row] = await server.sql(
    `select count(distinct drawn)::int as draws, string_agg(scale, ',') as scales, bool_and(tableowner = 'postgres') as mine
     from draws, pg_tables where tablename = 'after'`,
    name,
  );
  t.like(row, { draws: 1, scales: '3,3', mine: true } as never);
  await server.sql(`drop owned by "somebody ${process.pid}"; drop role "somebody ${process.pid}"`, name);
});
