import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { root, workplace, type Outcome } from './helpers/cli.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { majors } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

const pgDump = await findTool('pg_dump', undefined).catch(() => undefined);

// One after the other: clients write all the time, and the machine is small.
const test = ava.serial;
const playbook = (name: string): string => join(root, 'playbooks', name);
const fixture = (name: string): string => join(root, 'fixtures', name);

interface Verdict {
  readonly good: boolean;
  readonly commands: { words: string[]; code: number | null; ms: number }[];
  readonly clients: { errors: number; transactions: number; acknowledged: number };
  readonly findings: { check: string; severity: string; message: string; detail?: string }[];
  readonly held: { what: string; ms: number }[];
  readonly without: string[];
}

const verdictOf = ({ out, err }: Outcome): Verdict => {
  try {
    return JSON.parse(out) as Verdict;
  } catch {
    throw new Error(`no verdict: ${err}`);
  }
};

const LIVE = ['run', 'swap-back', 'switch', 'verify', 'retire'];
const CLOSED = ['run', 'swap-back', 'retire', 'run', 'retire'];

function assertKept(t: ExecutionContext, outcome: Outcome, commands: readonly string[]): Verdict {
  t.is(outcome.code, 0, outcome.err + outcome.out);
  const verdict = verdictOf(outcome);
  t.true(verdict.good);
  t.deepEqual(
    verdict.commands.map(({ words }) => words[0]),
    commands,
  );
  t.true(verdict.clients.acknowledged > 50);
  return verdict;
}

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

const withAlembic = ((): boolean => {
  try {
    execFileSync('alembic', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
const others: [name: string, fixture: string, installed: boolean][] = [
  ['maintenance-page.yml', 'orders', true],
  ['alembic-env-file.yml', 'shopping-points', withAlembic],
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

test('accidents: killed, cut off and tampered with, and every promise holds', async (t) => {
  const work = await workplace(t);
  const faults = 'kill@clone,kill@switch,cut@preflight,cut@fence,cut@switch,tamper';
  const outcome = await work.cutover(['rehearse', playbook('quickstart.yml'), '--faults', faults, '--json']);
  const { findings } = assertKept(t, outcome, CLOSED);
  const of = (check: string): string => findings.find((one) => one.check === check)!.message;
  t.regex(of('kill@clone'), /^it was resumed .*none lost, none doubled; .*nothing of any run is left/);
  t.regex(of('kill@switch'), /^it was resumed/);
  for (const step of ['preflight', 'fence', 'switch'])
    t.regex(of(`cut@${step}`), /^(?:everything was put back|the run came through) /);
  t.regex(of('tamper'), /^the verification saw it, and everything was put back/);
});

(NEEDS_PGBOUNCER ? ava.skip : test)(
  `accidents while clients go on behind PgBouncer${NEEDS_PGBOUNCER}`,
  async (t) => {
    const work = await workplace(t);
    const words = ['rehearse', playbook('live-pgbouncer.yml'), '--fixture', fixture('orders'), '--json'];
    const faults = 'kill@clone,kill@switch,cut@switch,cut@keep';
    assertKept(t, await work.cutover([...words, '--faults', faults]), LIVE);
  },
);

test('a playbook that would not see a row that was tampered with is told so', async (t) => {
  const work = await workplace(t);
  await work.file(
    'playbook.yml',
    'version: 1\nname: blind\nblue: ${DATABASE_URL}\nverify: [schema]\ngate: open\nswitch: { targets: [database-rename] }\n',
  );
  const words = ['rehearse', 'playbook.yml', '--fixture', fixture('orders'), '--faults', 'tamper', '--json'];
  const outcome = await work.cutover(words);
  t.is(outcome.code, 5, outcome.err);
  const { findings } = verdictOf(outcome);
  const failed = findings.filter(({ severity }) => severity === 'failure');
  t.deepEqual(
    failed.map(({ check }) => check),
    ['tamper'],
  );
  t.regex(failed[0]!.message, /no check saw the row/);
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
gate: { timeout: 1h }
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
  t.notRegex(outcome.out + outcome.err, /real-word/);
  for (const line of [
    /^the hook before fence: touch hooked$/,
    /^the check http: "http:/,
    /^nothing reads .*app\.env/,
  ])
    t.true(
      without.some((one) => line.test(one)),
      String(line),
    );
});

const breaches: Record<string, [sql: string, check: string, says: RegExp]> = {
  'a row that is lost': [
    'delete from cutover_rehearsal.entries where id = (select min(id) from cutover_rehearsal.entries)',
    'writes',
    /1 acknowledged entries are lost/,
  ],
  'a row that is doubled': [
    `insert into cutover_rehearsal.entries select id || 'x', client, body from cutover_rehearsal.entries limit 1`,
    'writes',
    /1 entries nobody wrote/,
  ],
  'a change of a balance': [
    'update cutover_rehearsal.accounts set balance = balance + 1 where id = 7',
    'writes',
    /the sum is 40001/,
  ],
  'something that is left': [
    'create publication cutover_left for all tables',
    'leftovers',
    /left over: publication cutover_left/,
  ],
};
for (const [name, [sql, check, says]] of Object.entries(breaches))
  test(`a broken promise is seen: ${name}`, async (t) => {
    const work = await workplace(t);
    await work.file('V001__breach.sql', `${sql};\n`);
    await work.file(
      'playbook.yml',
      `version: 1
name: broken
blue: \${DATABASE_URL}
migrate: [sql: { directory: . }]
verify: [{ sql: { query: select 1, equals: 1 } }]
gate: open
switch: { targets: [database-rename] }
`,
    );
    const outcome = await work.cutover([
      'rehearse',
      'playbook.yml',
      '--fixture',
      fixture('orders'),
      '--json',
    ]);
    t.is(outcome.code, 5, outcome.err);
    const { good, findings } = verdictOf(outcome);
    t.false(good);
    t.deepEqual(
      findings.filter(({ severity }) => severity === 'failure').map((one) => one.check),
      [check],
    );
    t.regex(findings.find((one) => one.check === check)!.detail!, says);
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
    [[playbook('quickstart.yml'), '--fixture', tmpdir()], 4, /the fixture cannot be read/],
    [[playbook('quickstart.yml'), '--clients', '0'], 2, /--clients 0/],
    [[playbook('quickstart.yml'), '--rate', 'many'], 2, /--rate many/],
    [[playbook('quickstart.yml'), '--pg', '9'], 2, /--pg 9/],
    [[playbook('quickstart.yml'), '--pg', '40'], 2, /PostgreSQL 40 is not installed/],
    [[playbook('quickstart.yml'), '--faults', 'flood'], 2, /--faults names flood[^]*kill, cut, tamper/],
    [[playbook('quickstart.yml'), '--faults', 'tamper@clone'], 2, /--faults names tamper@clone/],
    [[playbook('quickstart.yml'), '--server', 'mysql://x/y'], 2, /--server is no connection string/],
  ] as const;
  for (const [words, code, says] of wrong) {
    const ended = await work.cutover(['rehearse', ...words]);
    t.is(ended.code, code, `${words.join(' ')}\n${ended.err}`);
    t.regex(ended.err, says);
  }
});
