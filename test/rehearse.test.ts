import { createServer } from 'node:net';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ava from 'ava';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { root, workplace } from './helpers/cli.ts';
import { isInstalled } from './helpers/installed.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { majors, testServer } from './helpers/postgres.ts';
import { assertKept, CLOSED, fixture, LIVE, playbook, verdictOf, type Verdict } from './helpers/rehearsal.ts';
import { until } from './helpers/until.ts';

const pgDump = await findTool('pg_dump', undefined).catch(() => undefined);

// One after the other: clients write all the time, and the machine is small.
const test = ava.serial;

test('the quickstart: there, back, and there once more, and what is said of it', async (t) => {
  const work = await workplace(t);
  const { code, out, err } = await work.cutover(['rehearse', playbook('quickstart.yml'), '--junit', 'v.xml']);
  t.is(code, 0, err + out);
  for (const line of [
    /^✔ cutover run playbook\.yml {2}\S/m,
    /^✔ cutover retire --confirm shop_previous {2}\S/m,
  ])
    t.regex(err, line);
  for (const line of [
    /^Rehearsal of quickstart on shopping-points, scale 1, seed 1, PostgreSQL 18/m,
    /^✔ writes: .* acknowledged rows: none lost, none doubled$/m,
    /^✔ clients: .* transactions, turned away .* only while blue was closed$/m,
    /^· pause: run: nobody was answered for /m,
    /^✔ leftovers: nothing of any run is left on the servers$/m,
    /^Run 2: preflight .* switch /m,
    /^Verdict: every promise was kept here\.$/m,
  ])
    t.regex(out, line);
  t.deepEqual(await readdir(work.folder), ['v.xml']);
});

test('a playbook that fails on purpose: what failed is told, blue is as it was, and its exit code is given', async (t) => {
  const work = await workplace(t);
  const lost = await work.cutover(['rehearse', playbook('losing.yml'), '--json']);
  t.is(lost.code, 5, lost.err);
  const { good, findings, commands } = verdictOf(lost);
  t.false(good);
  t.is(commands.length, 1);
  t.deepEqual(
    findings.filter(({ severity }) => severity === 'failure').map(({ check }) => check),
    ['run'],
  );
  t.regex(findings[0]!.detail!, /shop_program_rates differs/);
});

(NEEDS_PGBOUNCER ? ava.skip : test)(
  `live with PgBouncer: no client notices, and the same seed gives the same verdict${NEEDS_PGBOUNCER}`,
  async (t) => {
    const work = await workplace(t);
    const words = ['rehearse', playbook('live-pgbouncer.yml'), '--fixture', fixture('orders'), '--json'];
    const verdicts = [];
    for (let time = 0; time < 2; time += 1)
      verdicts.push(assertKept(t, await work.cutover([...words, '--seed', '7']), LIVE));
    for (const { clients, held, without } of verdicts) {
      t.is(clients.errors, 0);
      t.deepEqual(
        held.map(({ what }) => what),
        ['clone', 'verify', 'switch', 'swap back', 'switch once more'],
      );
      t.true(without.some((line) => line.startsWith('PgBouncer runs on the stage')));
      t.true(without.includes('the length of the bake: 2s instead of 10 min 00 s'), without.join('\n'));
    }
    t.deepEqual(...(verdicts.map(said) as [string[], string[]]));
  },
);

/** A verdict without its numbers. */
const said = ({ findings }: Verdict): string[] =>
  findings.map(
    ({ check, severity, message }) => `${check} ${severity} ${message.replace(/[\d.,]+ ?(?:ms|s)?\b/g, '#')}`,
  );

const missing = [
  ...(NEEDS_PGBOUNCER ? ['pgbouncer'] : []),
  ...(majors().includes(15) ? [] : ['PostgreSQL 15']),
  ...(pgDump ? [] : ['pg_dump']),
];
(missing.length > 0 ? ava.skip : test)(
  `a major upgrade across two servers${missing.length > 0 ? ` (SKIPPED: ${missing.join(', ')} is not installed)` : ''}`,
  async (t) => {
    const work = await workplace(t);
    const outcome = await work.cutover([
      'rehearse',
      playbook('major-upgrade.yml'),
      '--fixture',
      fixture('orders'),
      '--pg',
      '15,18',
      '--json',
    ]);
    const { clients } = assertKept(t, outcome, LIVE);
    t.is(clients.errors, 0);
  },
);

const others: [name: string, fixture: string, installed: boolean][] = [
  ['maintenance-page.yml', 'orders', true],
  ['alembic-env-file.yml', 'shopping-points', isInstalled('alembic')],
];
for (const [name, of, installed] of others)
  (installed ? test : ava.skip)(
    `${name}: there, back, and there once more${installed ? '' : ' (SKIPPED: alembic is not installed)'}`,
    async (t) => {
      const work = await workplace(t);
      const outcome = await work.cutover(['rehearse', playbook(name), '--fixture', fixture(of), '--json']);
      const { without } = assertKept(t, outcome, CLOSED);
      t.true(without.some((line) => line.startsWith('the hook ')));
    },
  );

test('every playbook of the project is rehearsed here', async (t) => {
  const source = await readFile(new URL(import.meta.url), 'utf8');
  for (const name of await readdir(join(root, 'playbooks'))) t.true(source.includes(`'${name}'`), name);
});

test('nothing real is reached: no server, no file, no hook, no address', async (t) => {
  const work = await workplace(t);
  let reached = 0;
  const real = createServer((socket) => {
    reached += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => real.listen(0, '127.0.0.1', resolve));
  t.teardown(() => real.close());
  const { port } = real.address() as { port: number };
  const url = `postgresql+psycopg2://owner:real-word@127.0.0.1:${port}/orders`;
  const env = await work.file('app.env', `# kept\nDATABASE_URL="${url}"\nDEBUG=1\n`);
  await work.file(
    'playbook.yml',
    `version: 1
name: careful
blue: \${DATABASE_URL}
migrate:
  - command: { run: 'env > seen; echo "$DATABASE_URL" > target; : from migrate' }
verify: [row-counts, { http: { url: "http://127.0.0.1:${port}/health" } }, { command: { run: test -f app.env } }]
expect: { changed: [] }
hooks: [{ before: fence, run: touch hooked }]
notify:
  - webhook: { url: "http://127.0.0.1:${port}/hook" }
  - ping: { url: "\${PING_URL}" }
  - email: { smtp: "\${SMTP_URL}", from: a@example.com, to: [b@example.com] }
  - command: { run: touch told }
gate: { url: "http://127.0.0.1:${port}/CHG123", timeout: 1h }
approval: required
switch: { targets: [env-file: { path: app.env }] }
`,
  );
  const outcome = await work.cutover(['rehearse', 'playbook.yml', '--fixture', fixture('orders'), '--json'], {
    DATABASE_URL: url,
    OTHER_URL: url,
    JDBC_URL: `jdbc:postgresql://127.0.0.1:${port}/orders?password=real-word`,
    APP_DSN: `host=127.0.0.1 port=${port} dbname=orders password=real-word`,
    PGHOST: '127.0.0.1',
    PGPORT: String(port),
  });
  const { without } = assertKept(t, outcome, CLOSED);
  t.is(reached, 0);
  t.is(await readFile(env, 'utf8'), `# kept\nDATABASE_URL="${url}"\nDEBUG=1\n`);
  t.notRegex(await readFile(join(work.folder, 'seen'), 'utf8'), /real-word|PGHOST|OTHER_URL/);
  t.regex(await readFile(join(work.folder, 'target'), 'utf8'), /^postgresql\+psycopg2:\/\/\S+orders_green$/m);
  t.false((await readdir(work.folder)).includes('hooked'));
  t.false((await readdir(work.folder)).includes('told'));
  t.notRegex(outcome.err, /notice/);
  t.notRegex(outcome.out + outcome.err, /real-word/);
  for (const line of [
    /^the hook before fence: touch hooked$/,
    /^the check http: "http:/,
    /^the notices by webhook \(playbook\.yml:\d+:\d+\)$/,
    /^the notices by email /,
    /^the gate: "http:/,
    /^nothing reads .*app\.env/,
  ])
    t.true(
      without.some((one) => line.test(one)),
      String(line),
    );
});

test('on a server that is there: whose names are taken is refused, and nothing is left, whatever fails', async (t) => {
  const server = await testServer(18, { wal_level: 'logical' });
  t.teardown(() => server.stop());
  const work = await workplace(t);
  const env = { TEST_URL: server.url() };
  const words = ['rehearse', playbook('quickstart.yml'), '--server', '${TEST_URL}'];
  const there = async (): Promise<unknown> =>
    server.sql('select datname as name from pg_database union select rolname from pg_roles order by 1');
  for (const [made, taken] of [
    ['database shop_green', /holds a database shop_green/],
    ['role cutover_client', /holds a role cutover_client/],
  ] as const) {
    await server.sql(`create ${made}`);
    const before = await there();
    const { code, err } = await work.cutover(words, env);
    t.is(code, 3, err);
    t.regex(err, taken);
    t.deepEqual(await there(), before);
    await server.sql(`drop ${made}`);
  }
  const before = await there();
  await cp(fixture('shopping-points'), join(work.folder, 'broken'), { recursive: true });
  await writeFile(join(work.folder, 'broken/few.sql'), 'select from nowhere');
  const broken = await work.cutover([...words, '--fixture', 'broken'], env);
  t.is(broken.code, 4, broken.err);
  t.regex(broken.err, /the fixture cannot be loaded/);
  t.deepEqual(await there(), before);
  const good = await work.cutover([...words, '--json'], env);
  assertKept(t, good, CLOSED);
  t.deepEqual(await there(), before);
});

test('a signal takes the stage down, and leaves neither files nor servers', async (t) => {
  const work = await workplace(t);
  const temporary = await work.file('keep', '').then(() => work.folder);
  const { child, done } = work.start(['rehearse', playbook('quickstart.yml')], { TMPDIR: temporary });
  await until('a stage', async () =>
    (await readdir(temporary)).some((name) => name.startsWith('cutover-rehearsal-')),
  );
  await new Promise((resolve) => setTimeout(resolve, 4000));
  child.kill('SIGTERM');
  const { code, err } = await done;
  t.is(code, 143, err);
  t.regex(err, /SIGTERM: the stage is taken down; nothing real was touched/);
  t.deepEqual(
    (await readdir(temporary)).filter((name) => name !== 'keep'),
    [],
  );
});

test('what is wrong on the command line is told', async (t) => {
  const work = await workplace(t);
  const orders = ['--fixture', fixture('orders')];
  const wrong = [
    [[playbook('live-pgbouncer.yml')], 2, /there is nothing to rehearse on[^]*--fixture DIR/],
    [[playbook('nowhere.yml'), ...orders], 2, /nowhere\.yml/],
    [
      [playbook('quickstart.yml'), '--server', 'postgresql://localhost/x', '--faults', 'crash@switch'],
      2,
      /the server of --server is not to crash/,
    ],
    [[playbook('quickstart.yml'), '--fixture', tmpdir()], 2, /no fixture\.yml in /],
    [[playbook('quickstart.yml'), '--clients', '0'], 2, /--clients 0/],
    [[playbook('quickstart.yml'), '--rate', 'many'], 2, /--rate many/],
    [[playbook('quickstart.yml'), '--pg', '9'], 2, /--pg 9/],
    [[playbook('quickstart.yml'), '--pg', '40'], 2, /PostgreSQL 40 is not installed/],
    [
      [playbook('quickstart.yml'), '--faults', 'flood'],
      2,
      /--faults names flood[^]*kill, cut, crash, refuse, full, slow, tamper/,
    ],
    [[playbook('quickstart.yml'), '--faults', 'tamper@clone'], 2, /--faults names tamper@clone/],
    [[playbook('quickstart.yml'), '--server', 'mysql://x/y'], 2, /--server is no connection string/],
  ] as const;
  for (const [words, code, says] of wrong) {
    const ended = await work.cutover(['rehearse', ...words]);
    t.is(ended.code, code, `${words.join(' ')}\n${ended.err}`);
    t.regex(ended.err, says);
  }
});
