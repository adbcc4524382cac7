import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ava from 'ava';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { intoFolder } from '../src/rehearse/sample/folder.ts';
import { workplace, type Workplace } from './helpers/cli.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

const pgDump = await findTool('pg_dump', undefined).catch(() => undefined);
const missing = [...(majors().includes(15) ? [] : ['PostgreSQL 15']), ...(pgDump ? [] : ['pg_dump'])];
const SKIPPED = missing.length > 0 ? ` (SKIPPED: ${missing.join(', ')} is not installed)` : '';
const test = missing.length > 0 ? ava.skip : ava;

let server: TestServer;
ava.before(async () => {
  if (missing.length === 0) server = await testServer(15);
});
ava.after.always(() => server?.stop());

/** In a folder of its own, where it puts its files for a while, too. */
const make = (work: Workplace, database: string, more: readonly string[], env: Record<string, string> = {}) =>
  work.start(['fixture', 'from', '${SOURCE_URL}', '--out', 'made', ...more], {
    SOURCE_URL: server.url(database),
    TMPDIR: work.folder,
    ...env,
  });

test(`what is wrong on the command line is told, and nothing is made${SKIPPED}`, async (t) => {
  const work = await workplace(t);
  const name = await server.database();
  await server.sql(
    `create table users (id int primary key, email text unique, active bool not null, twice text generated always as (email || email) stored);
     create table mails (address text references users (email))`,
    name,
  );
  await mkdir(join(work.folder, 'used'));
  await work.file('used/something', '');
  const from = ['fixture', 'from', '${SOURCE_URL}'];
  const into = [...from, '--out', 'made'];
  const wrong: [words: string[], code: number, says: RegExp, env?: Record<string, string>][] = [
    [['fixture', 'to', '${SOURCE_URL}', '--out', 'made'], 2, /no cutover fixture to/],
    [from, 2, /--out DIR/],
    [
      ['fixture', 'from', 'postgresql://me:password@nowhere/x', '--out', 'made'],
      2,
      /everybody on the machine/,
    ],
    [['fixture', 'from', 'postgresql://me@nowhere', '--out', 'made'], 2, /names no database/],
    [[...from, '--out', 'used'], 2, /something in it/],
    [[...from, '--out', 'used/something'], 2, /--out cannot be written/],
    [[...into, '--sample', '0%'], 2, /--sample 0%/],
    [[...into, '--sample', '101%'], 2, /--sample 101%/],
    [[...into, '--seed', '-1'], 2, /--seed -1/],
    [[...into, '--mask', 'users.emial'], 2, /--mask names users\.emial[^]*public\.users\.email/],
    [[...into, '--keep', 'nothing'], 2, /--keep names nothing/],
    [[...into, '--keep', 'users.email'], 2, /mails\.address is masked, and a foreign key ties them/],
    [[...into, '--mask', 'users.twice'], 2, /makes of other columns/],
    [
      [...into, '--mask', 'users.active'],
      3,
      /no mask[^]*public\.users\.active[^]*--keep public\.users\.active/,
    ],
    [[...into, '--server', 'nonsense'], 2, /--server is no connection string/],
    [[...into, '--server', '${SOURCE_URL}'], 3, /server of the database itself/],
    [into, 2, /less than 16 characters/, { CUTOVER_MASK_KEY: 'short' }],
  ];
  for (const [words, code, says, env] of wrong) {
    const ended = await work.cutover(words, { SOURCE_URL: server.url(name), ...env });
    t.is(ended.code, code, `${words.join(' ')}\n${ended.err}`);
    t.regex(ended.err, says);
  }
  t.deepEqual(await readdir(work.folder), ['used']);
});

test(`programs that are older than the server, and rows that may not be seen, are refused${SKIPPED}`, async (t) => {
  const work = await workplace(t);
  const name = await server.database();
  await server.sql(
    `create table hidden (id int); alter table hidden enable row level security;
     create role "reader_${name}" login password 'read it'; grant pg_read_all_data to "reader_${name}"`,
    name,
  );
  await mkdir(join(work.folder, 'tools'));
  await writeFile(join(work.folder, 'tools/pg_dump'), '#!/bin/sh\necho "pg_dump (PostgreSQL) 14.2"\n', {
    mode: 0o755,
  });
  const old = await make(work, name, ['--tools', 'tools']).done;
  t.is(old.code, 3, old.err);
  t.regex(old.err, /pg_dump is of version 14, older than the server[^]*--tools DIR/);
  const url = new URL(server.url(name));
  [url.username, url.password] = [`reader_${name}`, 'read it'];
  const blind = await make(work, name, [], { SOURCE_URL: url.href }).done;
  t.is(blind.code, 3, blind.err);
  t.regex(blind.err, /rows of public\.hidden may not be read[^]*BYPASSRLS/);
  t.notRegex(blind.err + blind.out, /read it/);
  t.deepEqual(await readdir(work.folder), ['tools']);
});

test(`a mask that breaks a rule, and a key that is broken already, end it without a folder${SKIPPED}`, async (t) => {
  const work = await workplace(t);
  const name = await server.database();
  await server.sql(
    `create table users (id int primary key, phone text check (phone like '+%')); insert into users values (1, '+49 0171');
     create table twins (pin char(1) unique); insert into twins select chr(n) from generate_series(33, 120) n`,
    name,
  );
  const rule = await make(work, name, ['--keep', 'twins.pin']).done;
  t.is(rule.code, 4, rule.err);
  t.regex(rule.err, /rows of public\.users cannot be taken[^]*users_phone_check[^]*--keep/);
  const unique = await make(work, name, ['--keep', 'users.phone']).done;
  t.is(unique.code, 4, unique.err);
  t.regex(unique.err, /do not keep the schema[^]*twins_pin_key[^]*--keep/);
  await server.sql(
    `create table parents (id int primary key); create table children (parent int references parents);
     set session_replication_role = replica; insert into children values (1)`,
    name,
  );
  const orphans = await make(work, name, ['--keep', 'users.phone,twins.pin']).done;
  t.is(orphans.code, 4, orphans.err);
  t.regex(orphans.err, /children_parent_fkey[^]*while triggers were off/);
  t.notRegex(rule.err + unique.err + orphans.err, /0171/);
  t.deepEqual(await readdir(work.folder), []);
});

// The stage's database has a name that begins like that, by which a view can be slow there only.
const SLOW = `create materialized view slow as select pg_sleep(case when current_database() like 'cutover%' then 3600 else 0 end)::text`;
const STUCK = '#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 15.9" || exec sleep 3600\n';
for (const [where, more, says] of [
  ['while it is proved', [], 'proving it'],
  ['while pg_dump is at work', ['--tools', 'tools'], 'reading the schema'],
] as const)
  test(`a signal ${where} leaves neither files nor sessions${SKIPPED}`, async (t) => {
    const work = await workplace(t);
    const name = await server.database();
    await server.sql(SLOW, name);
    await mkdir(join(work.folder, 'tools'));
    await writeFile(join(work.folder, 'tools/pg_dump'), STUCK, { mode: 0o755 });
    const { child, done } = make(work, name, more);
    let said = '';
    child.stderr!.on('data', (text: string) => (said += text));
    await until('something to interrupt', () => said.includes(says));
    child.kill('SIGINT');
    const { code, err } = await done;
    t.is(code, 130, err);
    t.regex(err, /SIGINT: what was begun is removed; the database was only read/);
    t.deepEqual(await readdir(work.folder), ['tools']);
    await until('the end of its sessions', async () => {
      const left = await server.sql(`select 1 from pg_stat_activity where datname = '${name}'`);
      return left.length === 0;
    });
  });

ava('a folder that could not be filled is not there', async (t) => {
  const work = await workplace(t);
  const out = join(work.folder, 'deep/made');
  const failing = intoFolder(out, async (folder) => {
    await writeFile(join(folder, 'half'), '');
    throw new Error('the disk is full');
  });
  await t.throwsAsync(failing, { message: /disk is full/ });
  t.deepEqual(await readdir(join(work.folder, 'deep')), []);
  await intoFolder(out, (folder) => writeFile(join(folder, 'whole'), ''));
  t.deepEqual(await readdir(out), ['whole']);
});
