import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import type { Approval } from '../src/core/approval.ts';
import { FileJournalStore } from '../src/journal/file.ts';
import { PostgresJournalStore } from '../src/journal/postgres/store.ts';
import { sealed } from '../src/run/approval/seal.ts';
import { workplace, type Outcome } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { shop as makeShop, type Shop } from './helpers/shop.ts';
import { noTerminal, terminal } from './helpers/terminal.ts';

const test = ava.serial;
const atTerminal = noTerminal === undefined ? test : test.skip;
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

const LINES = 'gate: open\nmigrate: [sql: { directory: . }]\nverify: [row-counts]';

interface Scene extends Shop {
  run(env?: Record<string, string>): Promise<Outcome>;
  /** Approves, and insists that it was done. */
  approve(...args: string[]): Promise<Outcome>;
  /** Events of no run: nothing may have begun. */
  assertNoRun(): Promise<void>;
}

async function scene(t: ExecutionContext, lines: string): Promise<Scene> {
  const subject = await makeShop(t, server, lines);
  const { work, env } = subject;
  return {
    ...subject,
    run: (more = {}) => work.cutover(['run', 'playbook.yml'], { ...env, ...more }),
    async approve(...args) {
      const approved = await work.cutover(['approve', 'playbook.yml', '--yes', ...args], env);
      t.is(approved.code, 0, approved.err);
      return approved;
    },
    async assertNoRun() {
      t.deepEqual(await new FileJournalStore(join(work.folder, '.cutover')).list(), []);
      await subject.assertUntouched(t);
    },
  };
}

/** Refused, with these words, and what to type. */
function refused(t: ExecutionContext, { code, err }: Outcome, says: RegExp): void {
  t.is(code, 3, err);
  t.regex(err, says);
  t.regex(err, /cutover approve playbook\.yml/);
}

test('without an approval an unattended run is refused before it begins; with one it is made, once', async (t) => {
  const subject = await scene(t, `${LINES}\napproval: required`);
  refused(t, await subject.run(), /nobody has given one/);
  // --yes speaks for whoever types it, which is not who has to approve.
  const yes = await subject.work.cutover(['run', 'playbook.yml', '--yes'], subject.env);
  refused(t, yes, /nobody has given one/);
  await subject.assertNoRun();
  const before = await subject.work.cutover(['plan', 'playbook.yml'], subject.env);
  t.is(before.code, 0);
  t.regex(before.out, /approval required: nobody has given one/);
  const approved = await subject.approve();
  t.regex(approved.out, /Plan of shop[^]*V001__tier\.sql/);
  t.regex(approved.err, /Approved by .+@.+: a run of shop by this plan until \d{4}-/);
  t.regex(
    (await subject.work.cutover(['plan', 'playbook.yml'], subject.env)).out,
    /given by .+@[^]*it holds/,
  );
  const ran = await subject.run();
  t.is(ran.code, 0, ran.err);
  const [created] = await subject.events();
  t.true(created?.type === 'run-created' && created.approval?.signed === false);
  t.regex((await subject.work.cutover(['status'])).out, /, approved by .+@/);
  t.regex((await subject.work.cutover(['report'])).out, /, approved by .+@/);
  // Back to where it was, to the letter: only that it was used speaks against it.
  const back = await subject.work.cutover(['swap-back', '--yes'], subject.env);
  t.is(back.code, 0, back.err);
  const retired = await subject.work.cutover(['retire', '--confirm', `${subject.name}_green`], subject.env);
  t.is(retired.code, 0, retired.err);
  const again = await subject.run();
  refused(t, again, /it was used up by run \S+, which has switched/);
  t.notRegex(again.err, /changed/);
});

test('a run that was put back or refused leaves its approval as good as before', async (t) => {
  const subject = await scene(
    t,
    `gate: open\nmigrate: [command: { run: "test -e ready" }]\nverify: []\napproval: required`,
  );
  await subject.approve();
  t.is((await subject.run()).code, 4);
  await server.sql(`create database ${subject.name}_green`);
  t.is((await subject.run()).code, 3);
  await server.sql(`drop database ${subject.name}_green`);
  await subject.work.file('ready', '');
  const ran = await subject.run();
  t.is(ran.code, 0, ran.err);
});

const stale: readonly [string, (subject: Scene) => Promise<unknown>, RegExp][] = [
  [
    'the playbook was edited',
    ({ work }) =>
      readFile(join(work.folder, 'playbook.yml'), 'utf8').then((text) =>
        work.file('playbook.yml', `${text}limits: { clone: 2h }\n`),
      ),
    /playbook: the file was changed/,
  ],
  [
    'a migration was edited',
    ({ work }) => work.file('V001__tier.sql', 'alter table shops add column tier int;\n'),
    /migrations: V001__tier\.sql was changed/,
  ],
  [
    'a migration was added',
    ({ work }) => work.file('V002__more.sql', 'alter table shops add column more int;\n'),
    /migrations: V002__more\.sql is new/,
  ],
  [
    'a migration is gone',
    async ({ work }) => {
      await work.file('V002__other.sql', 'alter table shops add column tier text;\n');
      await rm(join(work.folder, 'V001__tier.sql'));
    },
    /migrations: V002__other\.sql is new; V001__tier\.sql is gone/,
  ],
  [
    "blue's schema was changed",
    ({ name }) => server.sql('alter table shops add column sneaked int; create table made ()', name),
    /blue's schema: \d+ objects? changed, e\.g\. \w[^\n]*public\.(?:shops|made)/,
  ],
  [
    'the preflight warns of something new',
    ({ name }) => server.sql('create publication told for all tables', name),
    /new warning: replication: 1 publication on blue/,
  ],
  [
    'blue is another database',
    async ({ env }) => {
      env['DATABASE_URL'] = server.url(await server.database('shop'));
      await server.sql('create table shops (id int)', new URL(env['DATABASE_URL']).pathname.slice(1));
    },
    /the database blue: is another one/,
  ],
  [
    'a reference stands for something else',
    async ({ env }) => {
      env['LIMIT'] = '9h';
    },
    /limits: what a reference there stands for was changed/,
  ],
];

for (const [what, change, says] of stale) {
  test(`an approval does not hold any more when ${what}`, async (t) => {
    const subject = await scene(t, `${LINES}\nretries: { wait: 1s }\napproval: required`);
    const { work } = subject;
    if (what.startsWith('a reference')) {
      const text = await readFile(join(work.folder, 'playbook.yml'), 'utf8');
      await work.file('playbook.yml', `${text}limits: { sync: "\${LIMIT:-8h}" }\n`);
    }
    await subject.approve();
    await change(subject);
    refused(t, await subject.run(), says);
    t.deepEqual(await new FileJournalStore(join(work.folder, '.cutover')).list(), []);
    t.regex((await work.cutover(['plan', 'playbook.yml'], subject.env)).out, says);
    await subject.approve();
    const ran = await subject.run();
    t.is(ran.code, 0, ran.err);
  });
}

test('an approval ends, and its length is checked', async (t) => {
  const subject = await scene(t, `${LINES}\napproval: required`);
  await subject.approve('--for', '1s');
  await sleep(1100);
  refused(t, await subject.run(), /the approval ended at \d{4}-/);
  await subject.assertNoRun();
  const { work, env } = subject;
  const wrong: [string[], RegExp][] = [
    [['--for', '5'], /no length of time/],
    [['--until', 'sunday'], /is no time/],
    [['--until', '2020-01-01T00:00:00Z'], /is over/],
    [['--for', '400d'], /at most/],
    [['--for', '1d', '--until', '2999-01-01T00:00:00Z'], /one of them/],
    [['--gate', 'gate'], /--gate is for a run/],
  ];
  for (const [args, says] of wrong) {
    const { code, err } = await work.cutover(['approve', 'playbook.yml', '--yes', ...args], env);
    t.is(code, 2, err);
    t.regex(err, says);
  }
  const ofRun = await work.cutover(['approve', '2026', '--for', '1d'], env);
  t.is(ofRun.code, 2);
  t.regex(ofRun.err, /--for is for a playbook/);
  t.is((await work.cutover(['approve', 'nowhere.yml', '--yes'], env)).code, 2);
});

test('where nobody can be asked, approving needs --yes; a plan that would be refused is not approved', async (t) => {
  const subject = await scene(t, `${LINES}\napproval: required`);
  const { work, env, name } = subject;
  const { code, err } = await work.cutover(['approve', 'playbook.yml'], env);
  t.is(code, 3, err);
  t.regex(err, /no terminal to ask at[^]*cutover approve playbook\.yml --yes/);
  await server.sql(`create database ${name}_green`);
  const hopeless = await work.cutover(['approve', 'playbook.yml', '--yes'], env);
  t.is(hopeless.code, 3);
  t.regex(hopeless.err, /a run would be refused/);
  await server.sql(`drop database ${name}_green`);
  refused(t, await subject.run(), /nobody has given one/);
  await work.file(
    'none.yml',
    (await readFile(join(work.folder, 'playbook.yml'), 'utf8')).replace('approval: required', ''),
  );
  const unasked = await work.cutover(['approve', 'none.yml', '--yes'], env);
  t.is(unasked.code, 2);
  t.regex(unasked.err, /no run of this playbook asks for an approval/);
});

test('an approval is taken back', async (t) => {
  const subject = await scene(t, `${LINES}\napproval: required`);
  await subject.approve();
  const rejected = await subject.work.cutover(['reject', 'playbook.yml'], subject.env);
  t.is(rejected.code, 0, rejected.err);
  refused(t, await subject.run(), /nobody has given one/);
  t.is((await subject.work.cutover(['reject', 'playbook.yml'], subject.env)).code, 3);
});

test('on-warnings asks only when the preflight warns, and not because somebody is connected', async (t) => {
  const calm = await scene(t, `${LINES}\napproval: on-warnings`);
  const client = await server.connect(calm.name);
  t.teardown(() => client.end().catch(() => undefined));
  const plan = await calm.work.cutover(['plan', 'playbook.yml'], calm.env);
  t.regex(plan.out, /session[^]*approval required when the preflight warns, which it does not/);
  const ran = await calm.run();
  t.is(ran.code, 0, ran.err);
  const warned = await scene(t, `${LINES}\napproval: on-warnings`);
  await server.sql('create publication told for all tables', warned.name);
  refused(t, await warned.run(), /nobody has given one/);
  await warned.approve();
  t.is((await warned.run()).code, 0);
});

const KEY = 'a key of more than sixteen characters';

test('with a key only what is signed with it counts; what was altered never does', async (t) => {
  const subject = await scene(t, `${LINES}\napproval: required`);
  const { work, env } = subject;
  const signed = { CUTOVER_APPROVAL_KEY: KEY };
  await subject.approve();
  refused(t, await subject.run(signed), /it is not signed, and CUTOVER_APPROVAL_KEY is set/);
  const approved = await work.cutover(['approve', 'playbook.yml', '--yes'], { ...env, ...signed });
  t.regex(approved.err, /, signed/);
  const other = { CUTOVER_APPROVAL_KEY: `${KEY}!` };
  refused(t, await subject.run(other), /its signature does not fit the key/);
  const path = join(work.folder, '.cutover/approvals/shop.json');
  const stored = await readFile(path, 'utf8');
  t.false(stored.includes(KEY));
  const { digest: _digest, signature, ...content } = JSON.parse(stored) as Approval;
  const longer = { ...content, until: '2999-01-01T00:00:00.000Z' };
  // Without the key: the signature of before, and a digest that fits.
  await writeFile(path, JSON.stringify({ ...sealed(longer, undefined), signature }));
  refused(t, await subject.run(signed), /its signature does not fit the key/);
  await writeFile(path, stored.replace(content.until, longer.until));
  refused(t, await subject.run(), /its content was altered/);
  await writeFile(path, '{');
  const damaged = await subject.run();
  t.is(damaged.code, 3, damaged.err);
  t.regex(damaged.err, /the approval cannot be read[^]*shop\.json/);
  const short = await subject.run({ CUTOVER_APPROVAL_KEY: 'short' });
  t.is(short.code, 2);
  t.regex(short.err, /CUTOVER_APPROVAL_KEY is shorter than 16 characters/);
  await writeFile(path, stored);
  await subject.assertNoRun();
  const ran = await subject.run(signed);
  t.is(ran.code, 0, ran.err);
  t.regex((await work.cutover(['status'])).out, /\(signed\)/);
});

test('what a run starts does not get the key', async (t) => {
  const subject = await scene(
    t,
    `gate: open\nverify: []\nmigrate: [command: { run: "echo key=$CUTOVER_APPROVAL_KEY. > seen" }]`,
  );
  t.is((await subject.run({ CUTOVER_APPROVAL_KEY: KEY })).code, 0);
  t.is(await readFile(join(subject.work.folder, 'seen'), 'utf8'), 'key=.\n');
});

test('an approval for another playbook under this name, and a journal that cannot be read', async (t) => {
  const subject = await scene(t, `${LINES}\napproval: required`);
  await subject.approve();
  const store = new FileJournalStore(join(subject.work.folder, '.cutover'));
  const journal = await store.create('29990101-000000-000000');
  await journal.close();
  await writeFile(join(subject.work.folder, '.cutover/runs/29990101-000000-000000/journal.jsonl'), 'torn\n');
  refused(
    t,
    await subject.run(),
    /the journal of run 29990101-000000-000000, which may have used it, cannot be read/,
  );
});

test('the schedule needs an approval, too, and says so', async (t) => {
  const at = new Date(Date.now() - 120_000);
  const opened = (minutes: number): string =>
    `window: [{ cron: "${at.getUTCMinutes()} ${at.getUTCHours()} * * *", timezone: UTC, duration: ${minutes}m }]`;
  const subject = await scene(t, `${LINES}\napproval: required\n${opened(60)}`);
  const { work, env } = subject;
  const without = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
  refused(t, without, /nobody has given one[^]*the run ended with 3/);
  t.regex(
    (await work.cutover(['windows', 'playbook.yml'], env)).out,
    /approval required: nobody has given one/,
  );
  await rm(join(work.folder, '.cutover/windows'), { recursive: true });
  await subject.approve();
  t.regex(
    (await work.cutover(['windows', 'playbook.yml'], env)).out,
    /given by .+@[^]*it holds, if blue is as it was then/,
  );
  const made = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
  t.is(made.code, 0, made.err);
});

test('an approval in a PostgreSQL database is given on one machine and counts on another', async (t) => {
  const subject = await scene(t, `${LINES}\napproval: required`);
  const there = await workplace(t);
  for (const file of ['playbook.yml', 'V001__tier.sql'])
    await there.file(file, await readFile(join(subject.work.folder, file), 'utf8'));
  const journals = await server.database('journals');
  const env = { ...subject.env, STATE_URL: server.url(journals) };
  const state = ['--state', '${STATE_URL}'];
  const early = await subject.work.cutover(['run', 'playbook.yml', ...state], env);
  t.is(early.code, 3, early.err);
  t.regex(early.err, /cutover --state '\$\{STATE_URL\}' approve playbook\.yml/);
  const approved = await there.cutover(['approve', './playbook.yml', '--yes', ...state], env);
  t.is(approved.code, 0, approved.err);
  const ran = await subject.work.cutover(['run', 'playbook.yml', ...state], env);
  t.is(ran.code, 0, ran.err);
  const store = new PostgresJournalStore(env.STATE_URL);
  t.teardown(() => store.end());
  const [created] = await store.read((await store.list())[0]!);
  t.true(created?.type === 'run-created' && created.approval !== undefined);
});

atTerminal(
  'who begins a run at a terminal approves of it at the gate; elsewhere --yes is not their word',
  async (t) => {
    const lines = LINES.replace('gate: open', 'gate: ask');
    const subject = await scene(t, `${lines}\napproval: required`);
    const { work, env } = subject;
    const begun = terminal(work, ['run', 'playbook.yml'], { env });
    await begun.waitFor(/Switch now\?/);
    await begun.kill('SIGKILL');
    await begun.done;
    const resumed = await work.cutover(['resume', '--yes'], env);
    t.is(resumed.code, 3, resumed.err);
    t.regex(resumed.err, /has no approval: a person was to answer its gate/);
    const quick = terminal(work, ['resume', '--yes'], { env });
    t.is((await quick.done).code, 3, quick.end());
    const finished = terminal(work, ['resume'], { env });
    await finished.waitFor(/Switch now\?/);
    finished.type('y\r');
    t.is((await finished.done).code, 0, finished.end());
  },
);

atTerminal('approving at a terminal asks', async (t) => {
  const subject = await scene(t, `${LINES}\napproval: required`);
  const { work, env } = subject;
  const no = terminal(work, ['approve', 'playbook.yml'], { env });
  await no.waitFor(/Approve a run of shop by this plan until/);
  no.type('n\r');
  t.is((await no.done).code, 3, no.end());
  refused(t, await subject.run(), /nobody has given one/);
  const yes = terminal(work, ['approve', 'playbook.yml', '--for', '2h'], { env });
  await yes.waitFor(/Approve a run of shop by this plan until/);
  yes.type('y\r');
  t.is((await yes.done).code, 0, yes.end());
  // Nobody answers an open gate: it does not matter where the run is begun.
  const ran = terminal(work, ['run', 'playbook.yml'], { env });
  t.is((await ran.done).code, 0, ran.end());
});

atTerminal('at a terminal, too, a gate that opens without that person is no approval', async (t) => {
  for (const gate of [
    'gate: ask',
    'gate: { timeout: 5s, then: go }',
    'gate: { url: "http://127.0.0.1:1/", timeout: 5s }',
  ]) {
    const subject = await scene(t, `${LINES.replace('gate: open', gate)}\napproval: required`);
    const words = ['run', 'playbook.yml', ...(gate === 'gate: ask' ? ['--yes'] : [])];
    const ran = terminal(subject.work, words, { env: subject.env });
    t.is((await ran.done).code, 3, ran.end());
    t.regex(ran.text(), /nobody has given one/);
    await subject.assertNoRun();
  }
});

test('with sync: a run that was put back leaves blue as it was approved, and the history says how long clients were held', async (t) => {
  const logical = await testServer(18, { wal_level: 'logical' });
  t.teardown(() => logical.stop());
  const { work, env, name } = await makeShop(
    t,
    logical,
    `gate: open\nsync: logical\nmigrate: [command: { run: "test -e ready" }]\nverify: [row-counts]\nexpect: {}\napproval: required`,
  );
  await logical.sql('alter table shops add primary key (id)', name);
  const approved = await work.cutover(['approve', 'playbook.yml', '--yes'], env);
  t.is(approved.code, 0, approved.err);
  t.is((await work.cutover(['run', 'playbook.yml'], env)).code, 4);
  await work.file('ready', '');
  const ran = await work.cutover(['run', 'playbook.yml'], env);
  t.is(ran.code, 0, ran.err);
  const rows = JSON.parse((await work.cutover(['runs', '--json'])).out) as {
    heldMs: number | null;
    tookMs: number;
    approval: unknown;
  }[];
  t.is(rows.length, 2);
  t.true(rows.every(({ approval }) => approval !== null));
  const { heldMs, tookMs } = rows[1]!;
  t.true(heldMs !== null && heldMs > 0 && heldMs < tookMs, `${heldMs} of ${tookMs}`);
});
