import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import {
  DifferencesError,
  InterruptedError,
  RefusedError,
  StepError,
  StuckError,
} from '../src/core/errors.ts';
import type { StepKind } from '../src/core/step-kind.ts';
import { patiently } from '../src/run/engine/unwind.ts';
import { transientReason } from '../src/core/transient.ts';
import { blackhole } from './helpers/blackhole.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { shop as makeShop, type Shop } from './helpers/shop.ts';
import { until } from './helpers/until.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server.stop());

const shop = (t: ExecutionContext, lines: string): Promise<Shop> => makeShop(t, server, lines);
const isActive = async (what: string): Promise<boolean> =>
  (
    await server.sql(
      `select from pg_stat_activity where state = 'active' and query like '%${what}%' and pid <> pg_backend_pid()`,
    )
  ).length > 0;

// --- what is tried again ---

const AWAY = '57P01 57P02 57P03 08000 08003 08006 ECONNREFUSED ECONNRESET ETIMEDOUT EPIPE'.split(' ');
const PASSING: Readonly<Record<StepKind, readonly string[]>> = {
  preflight: [...AWAY, '53300'],
  publish: ['55P03', '40P01', '53300'],
  fence: ['55P03', '40P01', '53300'],
  sync: ['55P03', '40P01', '53300'],
  clone: ['55006', '55P03', '53300'],
  migrate: ['40001', '40P01', '55P03'],
  verify: ['40001', '40P01', '55P03', '53300'],
  gate: [],
  switch: [],
  keep: [...AWAY, '55P03', '40P01', '53300'],
  bake: [],
  hook: [],
};
const kinds = Object.keys(PASSING) as StepKind[];
const failed = (code: string): Error =>
  new StepError('wrapped', { cause: Object.assign(new Error('from the server'), { code }) });

test('exactly what the docs list is tried again', (t) => {
  const known = [...new Set(Object.values(PASSING).flat()), '23505', '42P04', '57014', '53100', 'ENOSPC'];
  const code = fc.oneof(fc.constantFrom(...known), fc.stringMatching(/^[0-9A-Z]{5}$/));
  fc.assert(
    fc.property(fc.constantFrom(...kinds), code, (kind, each) => {
      const reason = transientReason(kind, failed(each), { repeatable: true });
      if ((reason !== undefined) !== PASSING[kind].includes(each))
        throw new Error(`${kind} ${each}: ${reason}`);
    }),
    { numRuns: 5000 },
  );
  for (const kind of kinds) {
    for (const each of PASSING[kind]) {
      t.is(typeof transientReason(kind, failed(each), { repeatable: true }), 'string');
      const cause = failed(each);
      for (const final of [
        new RefusedError('', { cause }),
        new StuckError('', { cause }),
        new DifferencesError('', [], { cause }),
        Object.assign(new InterruptedError('SIGINT'), { cause }),
      ]) {
        t.is(transientReason(kind, final, { repeatable: true }), undefined);
      }
    }
  }
  t.is(transientReason('migrate', failed('40001'), { repeatable: false }), undefined);
  t.is(transientReason('fence', new Error('no code'), { repeatable: true }), undefined);
});

test('a migration that waits too long for a lock is tried again, and the journal says so', async (t) => {
  const subject = await shop(
    t,
    `gate: open
migrate: [command: { run: "touch cloned; while ! test -e go; do sleep 0.05; done" }, sql: { directory: ., lock-timeout: 300ms }]
retries: { limit: 5, wait: 200ms }`,
  );
  const { done } = subject.work.start(['run', 'playbook.yml'], subject.env);
  const green = `${subject.name}_green`;
  await until('the copy', async () => {
    const rows = await server.sql(`select from pg_database where datname = '${green}'`);
    return rows.length === 1;
  });
  const holder = await server.connect(green);
  await holder.query('begin; lock table shops in access exclusive mode');
  await subject.work.file('go', '');
  await until('a retry', async () => (await subject.events()).some(({ type }) => type === 'step-retried'));
  await holder.query('rollback');
  await holder.end();
  const ran = await done;
  t.is(ran.code, 0, ran.err);
  t.regex(ran.err, /migrate-2-sql: tried again in 200 ms \(1\): .*55P03/);
  const retried = (await subject.events()).filter((event) => event.type === 'step-retried');
  t.deepEqual(
    retried.map(({ attempt, waitMs }) => [attempt, waitMs]),
    retried.map((_, index) => [index + 1, 200 * 2 ** index]),
  );
});

test('a pause that no timer could hold is a mistake of the playbook', async (t) => {
  const subject = await shop(t, 'gate: open\nretries: { wait: 2h }');
  const { code, err } = await subject.work.cutover(['validate', 'playbook.yml'], subject.env);
  t.is(code, 2, err);
  t.regex(err, /at most 1h/);
});

test('a retry has a limit', async (t) => {
  const subject = await shop(
    t,
    `gate: open
migrate: [sql: { directory: . }]
retries: { limit: 2, wait: 10ms }`,
  );
  await subject.work.file(
    'V001__tier.sql',
    `do $$ begin raise exception 'again' using errcode = '40001'; end $$;`,
  );
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 4, ran.err);
  t.is((await subject.events()).filter(({ type }) => type === 'step-retried').length, 2);
  await subject.assertUntouched(t);
});

test('a file without a transaction is not tried again', async (t) => {
  const subject = await shop(t, `gate: open\nmigrate: [sql: { directory: . }]\nretries: { wait: 10ms }`);
  await subject.work.file(
    'V001__tier.sql',
    `-- cutover: no-transaction\ndo $$ begin raise exception 'again' using errcode = '40001'; end $$;`,
  );
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 4, ran.err);
  t.is((await subject.events()).filter(({ type }) => type === 'step-retried').length, 0);
  await subject.assertUntouched(t);
});

// --- time limits ---

test('a step that takes longer than its limit is ended, and everything is put back', async (t) => {
  const subject = await shop(t, `gate: open\nmigrate: [sql: { directory: . }]\nlimits: { migrate: 1s }`);
  await subject.work.file('V001__tier.sql', 'select pg_sleep(60) as beyond_its_limit;');
  const started = Date.now();
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 4, ran.err);
  t.true(Date.now() - started < 30_000);
  t.regex(ran.err, /step migrate-1-sql took longer than 1\.0 s[^]*limits: \{ migrate: … \}/);
  t.false(await isActive('beyond_its_limit'));
  await subject.assertUntouched(t);
});

test('a lock that somebody has on blue is waited for in vain: who has it is named', async (t) => {
  const subject = await shop(t, 'gate: open\nlimits: { lock: 300ms }\nretries: { limit: 1, wait: 50ms }');
  const holder = await server.connect(subject.name);
  await holder.query(`set application_name = 'the holder'`);
  const [own] = (await holder.query<{ pid: number }>('select pg_backend_pid() as pid')).rows;
  await holder.query('begin');
  await holder.query(`alter database ${subject.name} connection limit -1`);
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 4, ran.err);
  t.regex(ran.err, /a lock on database shop_\w+ was not to be had in time/);
  t.regex(ran.err, new RegExp(`pid ${own!.pid} app=the holder`));
  t.is((await subject.events()).filter(({ type }) => type === 'step-retried').length, 1);
  await holder.query('rollback');
  await holder.end();
  await subject.assertUntouched(t);
});

const QUICK = 'limits: { connect: 1s, statement: 2s }';

/** What a run through a network that swallows everything leaves is put back when the network is there again. */
async function putBackLater(t: ExecutionContext, subject: Shop): Promise<void> {
  const aborted = await subject.work.cutover(['abort'], subject.env);
  t.is(aborted.code, 0, aborted.err);
  await subject.assertUntouched(t);
}

/** Fails so often, and then not. */
const after = (times: number, code: string) => {
  let left = times;
  return () => ((left -= 1) < 0 ? Promise.resolve('done') : Promise.reject(failed(code)));
};

test('what puts a step back is tried again while the server is gone, until its time is over', async (t) => {
  t.is(await patiently(after(2, '57P01'), Date.now() + 5000), 'done');
  await t.throwsAsync(patiently(after(1, '42501'), Date.now() + 5000));
  await t.throwsAsync(patiently(after(1, '57P01'), Date.now() - 1));
});

test('a server that is silent in a migration: SIGINT is heard all the same', async (t) => {
  const subject = await shop(t, `gate: open\nmigrate: [sql: { directory: . }]\n${QUICK}`);
  await subject.work.file('V001__tier.sql', 'select pg_sleep(120) as in_silence;');
  const hole = await blackhole(server);
  t.teardown(() => hole.stop());
  const env = { DATABASE_URL: hole.url(subject.name) };
  const { child, done } = subject.work.start(['run', 'playbook.yml'], env);
  await until('the migration', () => isActive('in_silence'));
  hole.swallow();
  const started = Date.now();
  child.kill('SIGINT');
  const ran = await done;
  t.is(ran.code, 7, ran.err);
  t.true(Date.now() - started < 75_000, `${Date.now() - started} ms`);
  t.regex(ran.err, /cutover abort/);
  hole.recover();
  await putBackLater(t, subject);
});

test('a server that is silent when nobody asks: the run finds out by itself', async (t) => {
  const subject = await shop(t, `gate: { timeout: 3s, then: go }\n${QUICK}`);
  const hole = await blackhole(server);
  t.teardown(() => hole.stop());
  const { done } = subject.work.start(['run', 'playbook.yml'], { DATABASE_URL: hole.url(subject.name) });
  await until('the gate', async () =>
    (await subject.events().catch(() => [])).some(({ type }) => type === 'gate-opened'),
  );
  hole.swallow();
  const ran = await done;
  t.is(ran.code, 7, ran.err);
  t.regex(ran.err, /the run lock was lost|did not answer within 2\.0 s/);
  hole.recover();
  await putBackLater(t, subject);
});
