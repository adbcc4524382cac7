import { execFileSync } from 'node:child_process';
import { chmod, copyFile, cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import ava, { type ExecutionContext } from 'ava';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { loadFixture } from './helpers/check-contract.ts';
import { workplace, type Workplace } from './helpers/cli.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

const pgDump = await findTool('pg_dump', undefined).catch(() => undefined);
const missing = [...(majors().includes(15) ? [] : ['PostgreSQL 15']), ...(pgDump ? [] : ['pg_dump'])];
const SKIPPED = missing.length > 0 ? ` (SKIPPED: ${missing.join(', ')} is not installed)` : '';
const test = missing.length > 0 ? ava.serial.skip : ava.serial;

let server: TestServer;
let blue: string;
ava.before(async () => {
  if (missing.length > 0) return;
  server = await testServer(15, { allow_in_place_tablespaces: 'on' });
  blue = await loadFixture(server, 'odd-names');
  await server.sql(`create tablespace "Fast ""disk""" location ''`);
  await server.sql(
    `create role "Odd owner"; create role reader; grant reader to "Odd owner";
     create table owned (id int primary key, body text) tablespace "Fast ""disk"""; insert into owned select i, md5(i::text) from generate_series(1, 5000) i;
     alter table owned owner to "Odd owner"; grant select (body), update on owned to reader with grant option;
     alter default privileges for role "Odd owner" grant select on tables to reader;
     select lo_from_bytea(0, 'large'); create sequence ids start 17; select nextval('ids'), nextval('ids')`,
    blue,
  );
});
ava.after.always(() => server?.stop());

const FORMS: Readonly<Record<string, string[]>> = {
  'whole.dump': ['-Fc'],
  'plain.dump': ['-Fc', '-Z0'],
  folder: ['-Fd'],
  'whole.tar': ['-Ft'],
  'text.sql': [],
  'told.sql': ['--verbose'],
};

/** A folder with a backup in every form. */
async function backups(t: ExecutionContext): Promise<Workplace & { env: Record<string, string> }> {
  const work = await workplace(t);
  // Servers of the tool's own have their folders here.
  await mkdir(join(work.folder, 'tmp'), { mode: 0o755 });
  for (const [name, args] of Object.entries(FORMS))
    execFileSync(pgDump!, [...args, `--file=${join(work.folder, name)}`, server.url(blue)], {
      stdio: 'ignore',
    });
  await writeFile(
    join(work.folder, 'packed.sql.gz'),
    gzipSync(await readFile(join(work.folder, 'text.sql'))),
  );
  return { ...work, env: { BLUE: server.url(blue), TMPDIR: join(work.folder, 'tmp') } };
}

const against = (file: string, ...more: string[]): string[] => [
  'compare',
  '${BLUE}',
  '--against',
  file,
  ...more,
];

/** Nothing of it is left: no folder, no process. */
async function gone(t: ExecutionContext, work: Workplace): Promise<void> {
  const left = (await readdir(join(work.folder, 'tmp'))).filter((name) => name.startsWith('cutover-'));
  t.deepEqual(left, []);
  t.deepEqual(await serversIn(work), []);
}

/** Servers whose data is in the workplace. */
async function serversIn({ folder }: Workplace): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes('/postgres\0') && line.includes(`${folder}/`)) found.push(pid);
  }
  return found;
}

test(`a backup in every form is the database that it was made of${SKIPPED}`, async (t) => {
  const work = await backups(t);
  for (const file of [...Object.keys(FORMS), 'packed.sql.gz']) {
    const { code, out, err } = await work.cutover(against(file), work.env);
    t.is(code, 0, `${file}\n${out}${err}`);
    t.regex(
      out,
      new RegExp(`restored to its end: ${file.replace('.', '\\.')} \\(.*PostgreSQL 15\\.\\d+\\), made `),
    );
    t.regex(out, /5,054 rows in 15 tables \(77 columns\), and 3 large objects have the same checksums/);
    const when =
      file.endsWith('.gz') || file === 'text.sql'
        ? /its file was last written 2/
        : /made 2\d\d\d-\d\d-\d\d \d\d:/;
    t.regex(out, when, file);
    t.regex(err, /restoring .*\n/);
    await gone(t, work);
  }
});

test(`what is otherwise in a backup is told, and of which one${SKIPPED}`, async (t) => {
  const work = await backups(t);
  const changed = await server.database('changed');
  await server.sql(`drop database ${changed}`);
  await server.sql(`create database ${changed} template "${blue}"`);
  await server.sql(
    `update owned set body = 'later' where id = 17; insert into owned values (6000, 'new'); delete from owned where id = 4;
     alter table owned add extra int; select nextval('ids')`,
    changed,
  );
  const env = { ...work.env, BLUE: server.url(changed) };
  const { code, out } = await work.cutover(against('whole.dump', '--junit', 'found.xml'), env);
  t.is(code, 5, out);
  t.regex(out, /id=17: body differs\n/);
  t.regex(out, /id=4: only on green\n/);
  t.regex(out, /id=6000: missing on green\n/);
  t.regex(out, /column public\.owned\.extra/);
  t.regex(out, /sequences: .*ids/);
  t.regex(
    out,
    /whole\.dump \(custom of .*\), made \d{4}-\d\d-\d\d \d\d:\d\d:\d\d by the clock of where it was made/,
  );
  t.regex(await readFile(join(work.folder, 'found.xml'), 'utf8'), /restored to its end/);
  // A part of a backup is one that lacks the rest.
  execFileSync(pgDump!, [
    '-Fc',
    '--table=owned',
    `--file=${join(work.folder, 'part.dump')}`,
    server.url(blue),
  ]);
  const part = await work.cutover(against('part.dump', '--json'), work.env);
  t.is(part.code, 5, part.err);
  const told = JSON.parse(part.out) as { proved: boolean; green: string; findings: { message: string }[] };
  t.false(told.proved);
  t.regex(told.green, /^part\.dump \(custom of /);
  t.true(told.findings.some(({ message }) => /objects of blue missing on green/.test(message)));
  // One that was made of another server, whose roles are not here.
  await server.sql('create role passing; grant select on owned to passing', blue);
  execFileSync(pgDump!, ['-Fc', `--file=${join(work.folder, 'roles.dump')}`, server.url(blue)]);
  await server.sql('drop owned by passing; drop role passing', blue);
  const roles = await work.cutover(against('roles.dump'), work.env);
  t.is(roles.code, 0, roles.out + roles.err);
  t.regex(
    roles.out,
    /1 statement of the backup names a role or a tablespace that blue's server does not have/,
  );
  t.regex(roles.out, /GRANT SELECT ON TABLE public\.owned TO passing/);
  await gone(t, work);
});

test(`a damaged backup is never equal, and says what is wrong with it${SKIPPED}`, async (t) => {
  const work = await backups(t);
  const at = (name: string): string => join(work.folder, name);
  const cut = async (from: string, name: string, bytes: (size: number) => number): Promise<void> => {
    await copyFile(at(from), at(name));
    await truncate(at(name), bytes((await readFile(at(from))).length));
  };
  const text = await readFile(at('text.sql'), 'utf8');
  const flipped = await readFile(at('whole.dump'));
  // In the middle of the largest table's rows.
  flipped.fill(0x5a, flipped.length - 60_000, flipped.length - 59_000);
  await cut('whole.dump', 'half.dump', (size) => size >> 1);
  await cut('whole.dump', 'head.dump', () => 200);
  await cut('plain.dump', 'last.dump', (size) => size - 100);
  await cut('whole.tar', 'half.tar', (size) => size >> 1);
  await cut('packed.sql.gz', 'half.sql.gz', (size) => size >> 1);
  await writeFile(at('flipped.dump'), flipped);
  await writeFile(at('between.sql'), text.slice(0, text.lastIndexOf(';\n') + 2));
  await writeFile(at('rows.sql'), text.slice(0, text.indexOf('\n2500\t')));
  await writeFile(at('bad.sql'), text.replace('\n2500\t', '\ntwo\t'));
  await writeFile(at('none.sql'), 'select 1;\n');
  await writeFile(at('empty.dump'), '');
  await cp(at('folder'), at('holes'), { recursive: true });
  const largest = await Promise.all(
    (await readdir(at('holes'))).map(async (name) => ({
      name,
      size: (await readFile(at(`holes/${name}`))).length,
    })),
  );
  const [row] = largest.filter(({ name }) => /^\d/.test(name)).sort((a, b) => b.size - a.size);
  await rm(at(`holes/${row!.name}`));
  const wrong: [file: string, says: RegExp][] = [
    ['half.dump', /half\.dump cannot be restored: /],
    ['head.dump', /list of contents cannot be read/],
    ['last.dump', /last\.dump cannot be restored: /],
    ['half.tar', /half\.tar cannot be restored: the archive is cut off/],
    ['half.sql.gz', /unexpected end of file/],
    ['flipped.dump', /flipped\.dump cannot be restored: /],
    ['between.sql', /does not end as pg_dump ends a dump/],
    ['rows.sql', /ends in the middle of rows/],
    ['bad.sql', /invalid input syntax for type integer: "two"/],
    ['none.sql', /none\.sql is no backup that pg_dump has made/],
    ['empty.dump', /empty\.dump is no backup that pg_dump has made/],
    ['holes', /holes cannot be restored: pg_restore failed/],
  ];
  for (const [file, says] of wrong) {
    const { code, out, err } = await work.cutover(against(file), work.env);
    t.is(code, 5, `${file}\n${out}${err}`);
    t.regex(out, says, file);
    t.notRegex(out, /same checksums|proved/, file);
  }
  const quiet = await work.cutover(against('half.dump', '-q'), work.env);
  t.regex(quiet.out, /^not proved: 1 problem; the first: half\.dump cannot be restored/);
  await gone(t, work);
});

test(`what is missing here is refused, with what to do${SKIPPED}`, async (t) => {
  const work = await backups(t);
  const at = (name: string): string => join(work.folder, name);
  const text = await readFile(at('text.sql'), 'utf8');
  const later = await readFile(at('whole.dump'));
  later[6] = 99;
  await writeFile(at('later.dump'), later);
  await writeFile(at('later.sql'), text.replace(/(database version) 15\.\S+/, '$1 29.1'));
  await writeFile(at('server.sql'), '--\n-- PostgreSQL database cluster dump\n--\n');
  await writeFile(at('twice.dump.gz'), gzipSync(await readFile(at('whole.dump'))));
  await writeFile(
    at('extended.sql'),
    text.replace('SET default_tablespace', 'CREATE EXTENSION "no such";\nSET default_tablespace'),
  );
  const refused: [args: string[], code: number, says: RegExp][] = [
    [against('nowhere.dump'), 3, /backup cannot be read: ENOENT/],
    [against('whole.dump', '--tools', 'tmp'), 3, /pg_restore was not found in .*--tools DIR/s],
    [
      against('later.dump'),
      3,
      /of version \d+, too old for an archive of format 1\.99.*PostgreSQL 19 or newer: --tools DIR/s,
    ],
    [against('later.sql'), 3, /is of PostgreSQL 29\.1, and no server of that version.*npm install pg29@/s],
    [against('server.sql'), 3, /dump of a whole server.*pg_dumpall/s],
    [against('twice.dump.gz'), 3, /packed once more.*gunzip/s],
    [against('extended.sql'), 3, /server that comes with the tool cannot hold the backup.*no such/s],
    [['compare', '${BLUE}'], 2, /or one and a backup/],
    [['compare', '${BLUE}', '${BLUE}', '--against', 'text.sql'], 2, /or one and a backup/],
    [['compare', 'postgresql://nobody@127.0.0.1:1/x', '--against', 'text.sql'], 3, /cannot connect to x/],
  ];
  for (const [args, code, says] of refused) {
    const ended = await work.cutover(args, work.env);
    t.is(ended.code, code, `${args.join(' ')}\n${ended.out}${ended.err}`);
    t.regex(ended.err, says, args.join(' '));
  }
  await gone(t, work);
});

test(`a signal takes the server down, and after a kill the next command does${SKIPPED}`, async (t) => {
  const work = await backups(t);
  const real = await findTool('pg_restore', undefined);
  await mkdir(join(work.folder, 'tools'));
  // Stops in the middle of what it has to say.
  await writeFile(
    join(work.folder, 'tools/pg_restore'),
    `#!/bin/sh\ncase "$*" in *--file=-*) '${real}' "$@" | head -c 40000; touch stuck; exec sleep 600;; *) exec '${real}' "$@";; esac\n`,
  );
  await chmod(join(work.folder, 'tools/pg_restore'), 0o755);
  const begin = async () => {
    await rm(join(work.folder, 'stuck'), { force: true });
    const started = work.start(against('whole.dump', '--tools', 'tools'), work.env);
    await until('the restoring', async () => (await readdir(work.folder)).includes('stuck'));
    t.is((await serversIn(work)).length > 0, true);
    return started;
  };
  const asked = await begin();
  asked.child.kill('SIGINT');
  const ended = await asked.done;
  t.is(ended.code, 130, ended.err);
  t.regex(ended.err, /nothing was touched/);
  await gone(t, work);
  const killed = await begin();
  killed.child.kill('SIGKILL');
  await killed.done;
  t.true((await serversIn(work)).length > 0);
  const next = await work.cutover(against('text.sql', '--checks', 'row-counts'), work.env);
  t.is(next.code, 0, next.out + next.err);
  t.regex(next.err, /taken down: 1 stage of processes that were killed/);
  await gone(t, work);
});
