import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { workplace } from './helpers/cli.ts';
import { loadFixture } from './helpers/check-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

let server: TestServer;
let older: TestServer;
let template: string;

test.before(async () => {
  server = await testServer();
  older = await testServer(15);
  template = await loadFixture(server, 'odd-names');
});
test.after.always(() => Promise.all([server?.stop(), older?.stop()]));

/** Two databases from the fixture, as variables of the environment. */
async function pair() {
  const [blue, green] = [await server.database('one'), await server.database('other')];
  for (const name of [blue, green]) {
    await server.sql(`drop database ${name}`);
    await server.sql(`create database ${name} template "${template}"`);
  }
  return { blue, green, env: { BLUE: server.url(blue), GREEN: server.url(green) } };
}

const BOTH = ['${BLUE}', '${GREEN}'];

test('two databases that are the same, and what is said of it', async (t) => {
  const work = await workplace(t);
  const { env, blue, green } = await pair();
  const same = await work.cutover(['compare', ...BOTH, '--jobs', '3', '--junit', 'found.xml'], env);
  t.is(same.code, 0, same.err);
  t.regex(
    same.out,
    /54 rows in 14 tables \(75 columns\), and 2 large objects have the same checksums on both sides/,
  );
  t.regex(same.err, new RegExp(`${blue} on .* \\(blue\\) and ${green} on .* \\(green\\)`));
  t.regex(
    await readFile(join(work.folder, 'found.xml'), 'utf8'),
    /<testsuite name="cutover" tests="3" failures="0"/,
  );
  const sampled = await work.cutover(['compare', ...BOTH, '--sample', '5%'], env);
  t.is(sampled.code, 0, sampled.err);
  t.regex(sampled.out, /a sample, no proof: .* of 5 % of the rows/);
  const quiet = await work.cutover(['compare', ...BOTH, '--quiet'], env);
  t.is(quiet.out.trim().split('\n').length, 1);
  t.regex(quiet.out, /^proved: all .* objects of blue are on green unchanged; /);
  t.is(quiet.err, '');
});

test('what differs is told in every form, with exit code 5, and nothing is written', async (t) => {
  const work = await workplace(t);
  const { env, green } = await pair();
  await server.sql(`create table "<&>" (id int primary key)`, green);
  await server.sql(`delete from "Mixed ""Case"" ünï"."Events" where ctid = '(0,1)'`, green);
  const text = await work.cutover(['compare', ...BOTH, '--junit', 'found.xml'], env);
  t.is(text.code, 5, text.err);
  t.regex(
    text.out,
    /"Mixed ""Case"" ünï"\."Events" differs: 9 rows on blue, 5 rows on green\n {4}\S.*missing on green/,
  );
  const xml = await readFile(join(work.folder, 'found.xml'), 'utf8');
  t.regex(xml, /failures="1"/);
  t.regex(xml, /&quot;Events&quot; differs/);
  t.notRegex(xml, /[^=]"Events"/);
  const json = await work.cutover(['compare', ...BOTH, '--json'], env);
  t.is(json.code, 5);
  const told = JSON.parse(json.out) as { proved: boolean; blue: string; findings: { severity: string }[] };
  t.false(told.proved);
  t.regex(told.blue, / on .*:\d+, PostgreSQL 18\./);
  t.true(told.findings.some(({ severity }) => severity === 'failure'));
  const quiet = await work.cutover(['compare', ...BOTH, '-q'], env);
  t.regex(quiet.out, /^not proved: 1 problem; the first: .*Events/);
  // Elsewhere all is well.
  const rest = await work.cutover(
    ['compare', ...BOTH, '--checks', 'checksums', '--ignore-tables', '"Mixed ""Case"" ünï"."Events"'],
    env,
  );
  t.is(rest.code, 0, rest.out);
  const some = await work.cutover(['compare', ...BOTH, '--tables', '"Mixed ""Case"" ünï"."Events"'], env);
  t.is(some.code, 5);
  t.notRegex(some.out, /object/);
});

test('across majors', async (t) => {
  const work = await workplace(t);
  const blue = await older.database('old');
  const green = await server.database('new');
  for (const [on, name] of [
    [older, blue],
    [server, green],
  ] as const)
    await on.sql(
      `create table items (id int primary key, price numeric, at timestamptz, doc jsonb, f float8, b bytea, n char(5));
       insert into items select i, i / 7.0, '2026-01-01Z'::timestamptz + i * interval '1 s', jsonb_build_object('i', i), i / 3.0, sha256(i::text::bytea), 'x' from generate_series(1, 500) i`,
      name,
    );
  const env = { BLUE: older.url(blue), GREEN: server.url(green) };
  const { code, out, err } = await work.cutover(['compare', ...BOTH], env);
  t.is(code, 0, out + err);
  t.regex(err, /PostgreSQL 15\.\d+ \(blue\).*PostgreSQL 18\.\d+ \(green\)/);
  t.regex(out, /500 rows in 1 table/);
});

test('what may not be read is told, fails, and is never counted as equal', async (t) => {
  const work = await workplace(t);
  const { blue, green, env } = await pair();
  for (const name of [blue, green])
    await server.sql(
      `create table secret (id int primary key); insert into secret values (1);
       create table hidden (id int); alter table hidden enable row level security; insert into hidden values (1);
       create table open_to_all (id int); insert into open_to_all values (1); grant select on open_to_all, hidden to public`,
      name,
    );
  await server.sql(
    `do $$ begin create role looker login password 'look-word'; exception when duplicate_object then end $$`,
  );
  const url = new URL(env.GREEN);
  url.username = 'looker';
  url.password = 'look-word';
  const { code, out } = await work.cutover(
    ['compare', ...BOTH, '--tables', 'secret, hidden, open_to_all', '--checks', 'checksums,row-counts'],
    { ...env, GREEN: url.href },
  );
  t.is(code, 5, out);
  for (const check of ['checksums', 'row-counts']) {
    t.regex(
      out,
      new RegExp(`${check}: public\\.secret could not be read on green: permission denied for table secret`),
    );
    t.regex(
      out,
      new RegExp(
        `${check}: public\\.hidden could not be read on green: query would be affected by row-level security`,
      ),
    );
  }
  t.regex(out, /1 row in 1 table \(1 column\) have the same checksums/);
});

test('what is wrong on the command line is told before anything is read', async (t) => {
  const work = await workplace(t);
  const { env } = await pair();
  const wrong = [
    [['compare', env.BLUE, '${GREEN}'], 2, /everybody on the machine can read/],
    [['compare', '${BLUE}', '${NOBODY}'], 2, /NOBODY/],
    [['compare', ...BOTH, '--jobs', '0'], 2, /--jobs 0/],
    [['compare', ...BOTH, '--checks', 'checksum'], 2, /--checks names checksum/],
    [['compare', ...BOTH, '--checks', 'sql'], 2, /--checks names sql/],
    [['compare', ...BOTH, '--sample', 'some'], 2, /checksums: sample must be a share such as 5%/],
    [['compare', ...BOTH, '--tables', 'nothing'], 2, /--tables names nothing/],
    [['compare', ...BOTH, '--tables', 'a', '--checks', 'schema'], 2, /schema looks at everything/],
    [['compare', '${BLUE}', '${BLUE}'], 3, /the same database/],
    [['compare', '${BLUE}', 'postgresql://nobody@127.0.0.1:1/x'], 3, /cannot connect to x/],
    [['compare', ...BOTH, '--junit', 'no/such/folder.xml'], 2, /JUnit file cannot be written/],
  ] as const;
  for (const [args, code, says] of wrong) {
    const ended = await work.cutover(args, env);
    t.is(ended.code, code, `${args.join(' ')}\n${ended.err}`);
    t.regex(ended.err, says);
    t.false((ended.out + ended.err).includes(new URL(env.BLUE).password));
  }
});

test('a table that somebody has locked is told; a signal ends the reading, on the server too', async (t) => {
  const work = await workplace(t);
  const { green, env } = await pair();
  const locker = await server.connect(green);
  await locker.query('begin; create table locked (id int)');
  await locker.query('commit; begin; lock table locked in access exclusive mode');
  const args = ['compare', '${GREEN}', '${BLUE}', '--checks', 'row-counts', '--tables', 'locked'];
  await server.sql('create table locked (id int)', new URL(env.BLUE).pathname.slice(1));
  const { code, out } = await work.cutover(args, env);
  t.is(code, 5, out);
  t.regex(out, /public\.locked could not be read on blue: canceling statement due to lock timeout/);
  const sessions = () =>
    server.sql(
      `select pid from pg_stat_activity where datname = '${green}' and application_name = 'cutover compare'`,
    );
  const { child, done } = work.start(args, env);
  await until(
    'the wait for the lock',
    async () =>
      (await server.sql(`select from pg_locks where not granted and locktype = 'relation'`)).length > 0,
  );
  child.kill('SIGINT');
  const ended = await done;
  t.is(ended.code, 130, ended.err);
  t.regex(ended.err, /nothing was touched/);
  // Long before the lock's own limit.
  const gone = performance.now();
  await until('the end of its sessions', async () => (await sessions()).length === 0);
  t.true(performance.now() - gone < 4000, `${performance.now() - gone} ms`);
  await locker.query('rollback');
});
