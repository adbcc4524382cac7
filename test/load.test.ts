import test, { type ExecutionContext } from 'ava';
import type { Client } from 'pg';
import type { Pace } from '../src/core/database/catalog.ts';
import { BusyError } from '../src/core/errors.ts';
import { Load } from '../src/databases/postgres/reading/load.ts';
import { createReader, prepareReaderSession } from '../src/databases/postgres/reading/reader.ts';
import { openCheck, said, withPair } from './helpers/check-contract.ts';
import { workplace, type Workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

let server: TestServer;
let template: string;
test.before(async () => {
  server = await testServer();
  template = await server.database('calm');
  await server.sql(
    `create table items (id int primary key, body text); insert into items select i, 'row ' || i from generate_series(1, 2000) i;
     create table others (id int primary key references items); insert into others values (1); analyze`,
    template,
  );
});
test.after.always(() => server?.stop());

/** Sessions that are at work until they are told to end, or the test is over. */
async function busy(t: ExecutionContext, count: number, settings = ''): Promise<{ end(): Promise<void> }> {
  const sessions = await Promise.all(Array.from({ length: count }, () => server.connect()));
  const pids = await Promise.all(
    sessions.map(
      async (session) => await session.query<{ pid: number }>(`${settings}select pg_backend_pid() as pid`),
    ),
  );
  const list = pids.map((result) => [result].flat().at(-1)!.rows[0]!.pid);
  const ended = sessions.map((session) => session.query('select pg_sleep(600)').catch(() => undefined));
  await until('their work', async () => {
    const at = await server.sql(`select from pg_stat_activity where wait_event = 'PgSleep'`);
    return at.length >= count || settings !== '';
  });
  const end = async (): Promise<void> => {
    await server.sql(`select pg_cancel_backend(pid) from unnest('{${list.join(',')}}'::int[]) pid`);
    await Promise.all(ended);
    await Promise.all(sessions.map((session) => session.end()));
  };
  let over: Promise<void> | undefined;
  const once = { end: () => (over ??= end()) };
  t.teardown(once.end);
  return once;
}

async function twins(): Promise<{ green: string; env: Record<string, string> }> {
  const [blue, green] = [await server.database('one'), await server.database('other')];
  for (const name of [blue, green]) {
    await server.sql(`drop database ${name}`);
    await server.sql(`create database ${name} template ${template}`);
  }
  return { green, env: { BLUE: server.url(blue), GREEN: server.url(green) } };
}

const comparing = (...more: string[]): string[] => ['compare', '${BLUE}', '${GREEN}', ...more];

/** Texts of the last statements of whoever reads. */
const readings = async (): Promise<string[]> =>
  (
    await server.sql<{ query: string }>(
      `select query from pg_stat_activity where application_name = 'cutover compare'`,
    )
  ).map(({ query }) => query);

/** Until it has said that it waits; gives all that it has said. */
async function waits({ child }: ReturnType<Workplace['start']>): Promise<string> {
  let heard = '';
  child.stderr!.on('data', (chunk: string) => (heard += chunk));
  await until('the word that it waits', () => heard.includes('waiting since'));
  return heard;
}

test.serial('nothing is read while others work, it says so, and goes on when they are done', async (t) => {
  const work = await workplace(t);
  const { env, green } = await twins();
  const others = await busy(t, 3);
  const started = work.start(comparing('--max-active', '2'), env);
  t.regex(
    await waits(started),
    /^checksums: .*waiting since \d\d:\d\d:\d\dZ: 3 sessions of others active on (blue|green)'s server, more than 2$/m,
  );
  const asked = await readings();
  t.true(asked.length >= 6, asked.join('\n'));
  t.false(
    asked.some((query) => /from only public/.test(query)),
    asked.join('\n'),
  );
  await others.end();
  const { code, out, err } = await started.done;
  t.is(code, 0, out + err);
  t.regex(out, /2,001 rows in 2 tables \(3 columns\) have the same checksums/);
  t.regex(out, /checksums: waited .* in all, because more than 2 sessions of others are active/);
  // What is found is what it would be without.
  await server.sql(`update items set body = 'other' where id = 17`, green);
  const some = await busy(t, 1);
  for (const limit of [[], ['--max-active', '1'], ['--max-active', '1', '--jobs', '1']]) {
    const found = await work.cutover(comparing('--checks', 'checksums,row-counts', ...limit), env);
    t.is(found.code, 5, found.out + found.err);
    t.regex(found.out, /id=17: body differs/);
    t.regex(found.out, /2,001 rows in 2 tables are the same number/);
    t.notRegex(found.out + found.err, /wait/);
  }
  await some.end();
});

test.serial('whoever may not see the others is told so, and nothing counts as read', async (t) => {
  const work = await workplace(t);
  const { env } = await twins();
  await server.sql(`create role blind login password 'blind-word'; grant pg_read_all_data to blind`);
  const url = new URL(env['GREEN']!);
  url.username = 'blind';
  url.password = 'blind-word';
  const as = { ...env, GREEN: url.href };
  const others = await busy(t, 2);
  const checks = ['--checks', 'checksums,row-counts,foreign-keys,indexes'];
  const told = await work.cutover(comparing(...checks, '--max-active', '1'), as);
  t.is(told.code, 5, told.out + told.err);
  for (const check of ['checksums', 'row-counts', 'foreign-keys', 'indexes'])
    t.regex(
      told.out,
      new RegExp(
        `${check}: rows could not be read on green: blind may not see whether others work on the server`,
      ),
    );
  t.regex(told.out, /grant pg_read_all_stats to blind/);
  t.notRegex(told.out, /same/);
  // It is asked for nothing without a limit, and is enough with the right.
  t.is((await work.cutover(comparing('--checks', 'checksums'), as)).code, 0);
  await server.sql('grant pg_read_all_stats to blind');
  t.is((await work.cutover(comparing(...checks, '--max-active', '2'), as)).code, 0);
  await others.end();
  const silent = await busy(t, 1, 'set track_activities = off; ');
  const untold = await work.cutover(comparing('--checks', 'checksums', '--max-active', '5'), env);
  t.is(untold.code, 5, untold.out + untold.err);
  t.regex(untold.out, /on blue: 1 session on the server do(es)? not tell whether/);
  await silent.end();
});

test.serial('the wait ends with the limit of its check, and at once with a signal', async (t) => {
  const work = await workplace(t);
  const { env } = await twins();
  const others = await busy(t, 1);
  await withPair(server, template, async (pair) => {
    const notes: (string | undefined)[] = [];
    const context = {
      ...(await pair.context()),
      progress: (_done: number, _total: number, note?: string) => void notes.push(note),
    };
    for (const name of ['checksums', 'row-counts', 'foreign-keys', 'indexes']) {
      const found = await openCheck(name, { 'max-active': 0, limit: '4s' }).run(context);
      t.regex(said(found), /^unknown \| did not finish within 4\.0 s/, name);
      t.true(notes.some((note) => /^waiting since .*Z: 1 session of others active on /.test(note ?? '')));
      notes.length = 0;
    }
    // It is over with the check.
    const after = await openCheck('checksums').run(context);
    t.deepEqual(
      after.map(({ severity }) => severity),
      ['ok'],
      said(after),
    );
    t.false(notes.some((note) => /waiting/.test(note ?? '')));
    // The word of whoever types counts, not the playbook's.
    const given = await openCheck('checksums', { 'max-active': 0 }).run({ ...context, maxActive: 9 });
    t.deepEqual(
      given.map(({ severity }) => severity),
      ['ok'],
      said(given),
    );
  });
  const started = work.start(comparing('--max-active', '0'), env);
  await waits(started);
  started.child.kill('SIGINT');
  const ended = await started.done;
  t.is(ended.code, 130, ended.err);
  await until('the end of its sessions', async () => (await readings()).length === 0);
  await others.end();
});

const calm = (more: Partial<Pace>): Pace => ({
  most: 0,
  signal: new AbortController().signal,
  waiting: () => undefined,
  goesOn: () => undefined,
  ...more,
});

test.serial('it is looked at between the parts of a table, by a single connection too', async (t) => {
  const session = await server.connect(template);
  await session.query("set application_name = 'cutover compare'");
  await prepareReaderSession(session);
  const reader = createReader([session], undefined, 8192);
  await reader.catalog();
  const table = ['public', 'items'];
  const columns = [
    { name: 'body', as: 'text', nullable: false, expression: 'body || pg_sleep(0.003)::text' },
  ];
  const plain = [{ name: 'body', as: 'text', nullable: false, expression: `body || ''` }];
  const whole = await reader.checksum(table, plain);
  let others: Awaited<ReturnType<typeof busy>> | undefined;
  const seen: string[] = [];
  await reader.setPace(
    calm({
      waiting: (active) => {
        if (seen.at(-1) !== 'waits') seen.push('waits');
        t.is(active, 1);
        void others?.end();
        others = undefined;
      },
      goesOn: () => void seen.push('goes on'),
    }),
  );
  const coming: Promise<void>[] = [];
  const sum = await reader.checksum(table, columns, {
    progress: (rows) => {
      if (seen.length === 0) coming.push(busy(t, 1).then((started) => void (others = started)));
      seen.push(String(rows));
    },
  });
  await Promise.all(coming);
  t.deepEqual(sum, whole);
  const at = seen.indexOf('waits');
  t.true(at > 0, seen.join());
  t.is(seen[at + 1], 'goes on');
  t.true(seen.length > at + 2, seen.join());
  t.is(await reader.countRows(table), 2000n);
  await session.end();
});

/** As text, like a reader's. */
const asker = (session: Client) => async (sql: string) =>
  (
    await session.query<Record<string, string>>(
      `select role, case when sees then 't' end as sees, active::text, untold::text from (${sql}) l`,
    )
  ).rows;

test.serial('nobody waits for ever, and who gave up goes on when others are done', async (t) => {
  const session = await server.connect();
  const load = new Load(1500);
  load.set(calm({}));
  const others = await busy(t, 1);
  const error = await t.throwsAsync(load.pass(asker(session)), { instanceOf: BusyError });
  t.is(error.message, 'for 1.5 s more than 0 sessions of others were at work');
  // The next reading does not wait as long once more.
  await t.throwsAsync(load.pass(asker(session)), { instanceOf: BusyError });
  await others.end();
  await t.notThrowsAsync(load.pass(asker(session)));
  await session.end();
});

test.serial('however small the pieces are, the server is not asked for each of them', async (t) => {
  const session = await server.connect();
  let asked = 0;
  const load = new Load();
  load.set(calm({}));
  const ask = (sql: string) => {
    asked += 1;
    return asker(session)(sql);
  };
  for (let pass = 0; pass < 500; pass += 1) await load.pass(ask);
  t.true(asked >= 1 && asked < 50, String(asked));
  // Those who wait at the same time look together.
  load.set(calm({}));
  asked = 0;
  await Promise.all(Array.from({ length: 20 }, () => load.pass(ask)));
  t.is(asked, 1);
  await session.end();
});

const PLAYBOOK = `version: 1
name: shop
blue: \${BLUE}
migrate: []
verify:
  - schema
  - checksums:
      max-active: 4
switch: { targets: [database-rename] }
`;

test('a run that has closed blue never waits: the playbook is refused', async (t) => {
  const work = await workplace(t);
  await work.file('playbook.yml', PLAYBOOK);
  const env = { BLUE: server.url(template) };
  const { code, err } = await work.cutover(['validate', 'playbook.yml'], env);
  t.is(code, 2);
  t.regex(err, /playbook\.yml:8:7 .*verify\[1\]\.checksums\.max-active.*\n?.*write sync: logical besides/s);
  await work.file('live.yml', PLAYBOOK.replace('migrate: []', 'sync: logical\nmigrate: []'));
  const valid = await work.cutover(['validate', 'live.yml'], env);
  t.is(valid.code, 0, valid.err);
  t.regex(
    openCheck('row-counts', { 'max-active': 1 }).describe().join('\n'),
    /waits while more than 1 session of others are active/,
  );
});

test('a limit that is none, or that nothing would mind, is a mistake', async (t) => {
  const work = await workplace(t);
  const env = { BLUE: server.url(template), GREEN: server.url() };
  for (const [args, says] of [
    [['--max-active', 'few'], /--max-active few is not a number from 0 to 99999/],
    [['--max-active', '-1'], /--max-active -1|argument missing/],
    [['--max-active', '3', '--checks', 'schema,sequences'], /for checks that read rows, and there is none/],
  ] as const) {
    const { code, err } = await work.cutover(comparing(...args), env);
    t.is(code, 2, err);
    t.regex(err, says);
  }
  t.throws(() => openCheck('checksums', { 'max-active': -1 }));
  t.throws(() => openCheck('schema', { 'max-active': 1 }));
});
