// Going back although the previous copy cannot hold every row: what does not fit is passed over, and nothing else.
import { isDeepStrictEqual } from 'node:util';
import type { ExecutionContext } from 'ava';
import { addressOf } from '../src/databases/postgres/address.ts';
import { Connection } from '../src/databases/postgres/connection.ts';
import { skip, standingAt } from '../src/databases/postgres/live/objects/passing.ts';
import { quoteIdentifier } from '../src/util/sql.ts';
import { liveScene, LIVE_SETTINGS, type LiveScene } from './helpers/live-scene.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

const { test, title, server } = liveSuite();

/** As narrow as blue was, and as wide as green became. */
const WIDENED = {
  sql: `create table "Wide ""one""" (id int primary key, n int); create table plain (id int primary key, note text);
    insert into "Wide ""one""" values (1, 1); insert into plain values (1, 'one');`,
  migration: 'alter table "Wide ""one""" alter n type bigint',
  head: 'sync: logical\nexpect: { changed: [\'public."Wide ""one""".n\'] }',
};

const SETTINGS = {
  ...LIVE_SETTINGS,
  wal_retrieve_retry_interval: '100ms',
};

const rowsOf = async (on: TestServer, name: string): Promise<unknown> => ({
  plain: await on.sql('select id, note from plain order by id', name),
  wide: await on.sql('select id, n::text from "Wide ""one""" order by id', name),
});

/** Two transactions that do not fit, each with something that would, between three that do. */
async function written({ green }: LiveScene): Promise<void> {
  const client = await green.server.connect(green.name);
  for (const sql of [
    `insert into plain values (2, 'before')`,
    `begin; insert into plain values (3, 'along'); insert into "Wide ""one""" values (2, 3000000000); update plain set note = 'not' where id = 1; commit`,
    `insert into plain values (4, 'between'); update plain set note = 'yes' where id = 2`,
    `begin; delete from plain where id = 4; insert into "Wide ""one""" values (3, 3), (4, 4000000000); commit`,
    `insert into plain values (5, 'behind')`,
  ])
    await client.query(sql);
}

const HELD = {
  plain: [
    { id: 1, note: 'one' },
    { id: 2, note: 'yes' },
    { id: 4, note: 'between' },
    { id: 5, note: 'behind' },
  ],
  wide: [{ id: 1, n: '1' }],
};
const ALL = {
  plain: [
    { id: 1, note: 'not' },
    { id: 2, note: 'yes' },
    { id: 3, note: 'along' },
    { id: 5, note: 'behind' },
  ],
  wide: [
    { id: 1, n: '1' },
    { id: 2, n: '3000000000' },
    { id: 3, n: '3' },
    { id: 4, n: '4000000000' },
  ],
};
const FIRST =
  /1 row inserted into public\."Wide ""one""", 1 row inserted into public\.plain, 1 row updated in public\.plain/;
const SECOND = /2 rows inserted into public\."Wide ""one""", 1 row deleted from public\.plain/;

const HINT =
  /make room for it in the previous copy[^;]*; or go on without it: cutover swap-back --accept-data-loss --yes/;

async function standing(t: ExecutionContext, scene: LiveScene, hint = HINT): Promise<void> {
  await written(scene);
  await until('the way back to stand still', async () =>
    /way back: stands still/.test((await scene.cutover(['status'])).out),
  );
  await until('the word on what to do', async () => {
    const refused = await scene.cutover(['swap-back', '--yes']);
    t.is(refused.code, 3, refused.err);
    return hint.test(refused.err);
  });
}

for (const major of [15, 18] as const)
  test(
    title(`${major}: transactions that do not fit are passed over whole, and clients write all the time`),
    async (t) => {
      const on = await testServer(major, SETTINGS);
      t.teardown(() => on.stop());
      const scene = await liveScene(t, { from: on, to: on, ...WIDENED });
      const { cutover, ledger, blue, green } = scene;
      ledger.start();
      const ran = await cutover(['run', 'playbook.yml']);
      t.is(ran.code, 0, ran.err);
      await standing(t, scene);
      const back = await cutover(['swap-back', '--yes', '--accept-data-loss']);
      t.is(back.code, 0, back.err);
      t.regex(back.err, FIRST);
      t.regex(back.err, SECOND);
      t.is(
        back.err.match(/blue passes over a transaction that does not fit \([0-9A-F]+\/[0-9A-F]+\)/g)?.length,
        2,
      );
      t.deepEqual(await rowsOf(on, blue.name), HELD);
      // Whatever clients were told is there, is there.
      await until('writes on blue', async () => {
        const [row] = await on.sql('select count(*)::int as n from entries', blue.name);
        return Number(row!['n']) > 50;
      });
      const again = await cutover(['switch', '--yes']);
      t.is(again.code, 0, again.err);
      t.deepEqual(await rowsOf(on, green.name), ALL);
      const { errors } = await ledger.stop();
      t.deepEqual(errors, []);
      t.deepEqual(await ledger.problems(on, green.name), []);
      // What blue was passed over stays known, although blue follows again.
      const { wayBack } = JSON.parse((await cutover(['status', '--json'])).out) as {
        wayBack: { spoilers: string[] };
      };
      t.true(
        wayBack.spoilers.some((line) => SECOND.test(line)),
        wayBack.spoilers.join('\n'),
      );
      const refused = await cutover(['swap-back', '--yes']);
      t.is(refused.code, 3, refused.err);
      t.regex(refused.err, FIRST);
    },
  );

test(title('a transaction that there is room for by now is not passed over'), async (t) => {
  const scene = await liveScene(t, { from: server(), to: server(), ...WIDENED });
  const { cutover, blue, work, env } = scene;
  t.is((await cutover(['run', 'playbook.yml'])).code, 0);
  await standing(t, scene);
  // The worker waits for it at the first of the two, and then goes on by itself.
  const hold = await server().connect(blue.name);
  await hold.query('begin; lock table "Wide ""one""" in access exclusive mode');
  const { done } = work.start(['swap-back', '--yes', '--accept-data-loss'], env);
  await hold.query('alter table "Wide ""one""" alter n type bigint; commit');
  const back = await done;
  t.is(back.code, 0, back.err);
  t.notRegex(back.err, /passes over/);
  t.deepEqual(await rowsOf(server(), blue.name), ALL);
});

/** Both ends of the way back, as the tool has them. */
async function ends(
  t: ExecutionContext,
  { blue, green }: Pick<LiveScene, 'blue' | 'green'>,
): Promise<Parameters<typeof standingAt>[0]> {
  const open = async ({ server: on, name }: LiveScene['blue']): Promise<Connection> => {
    const connection = await Connection.open(addressOf(on.url(name), 'test'), name);
    t.teardown(() => connection.end());
    return connection;
  };
  const [from, to] = [await open(green), await open(blue)];
  const [row] = await to.query<{ name: string }>(
    'select subname as name from pg_subscription where subdbid = (select oid from pg_database where datname = $1)',
    [blue.name],
  );
  const control = { signal: new AbortController().signal, progress: () => undefined };
  return { from, to, name: row!.name, control };
}

test(
  title('what somebody makes room for while one looks is not told as failing, and not passed over'),
  async (t) => {
    // Long enough for everything that is done between two tries.
    const on = await testServer(18, { ...SETTINGS, wal_retrieve_retry_interval: '4s' });
    t.teardown(() => on.stop());
    const scene = await liveScene(t, { from: on, to: on, ...WIDENED });
    const { cutover, blue, green } = scene;
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    const both = await ends(t, scene);
    await written(scene);
    const failed = async (): Promise<number> =>
      Number(
        (await both.to.query('select sum(apply_error_count) as n from pg_stat_subscription_stats'))[0]!['n'],
      );
    await until('it to fail', async () => (await failed()) > 0);
    const standing = await standingAt(both);
    t.regex(standing?.changes.join(', ') ?? '', FIRST);
    const before = await failed();
    await until('it to fail once more', async () => (await failed()) > before);
    const looking = standingAt(both);
    await on.sql('alter table "Wide ""one""" alter n type bigint', blue.name);
    t.is(await looking, undefined);
    await until('the rows', async () => isDeepStrictEqual(await rowsOf(on, blue.name), ALL));
    // Told too late, and of a transaction that is applied: nothing waits, and nothing is passed over.
    await skip(both.to, both.name, standing!.lsn, both.control);
    await on.sql(`insert into plain values (6, 'later')`, green.name);
    await until(
      'what came later',
      async () => (await on.sql('select from plain where id = 6', blue.name)).length === 1,
    );
  },
);

test(
  title('one that dies with a transaction written down, and not passed over, goes on from there'),
  async (t) => {
    const scene = await liveScene(t, { from: server(), to: server(), ...WIDENED });
    const { cutover, blue, green, work, env } = scene;
    t.is((await cutover(['run', 'playbook.yml'])).code, 0);
    await standing(t, scene);
    for (const word of [FIRST, SECOND]) {
      const { child, done } = work.start(['swap-back', '--yes', '--accept-data-loss'], env);
      child.stderr!.on('data', (chunk: Buffer) => {
        if (word.test(chunk.toString())) child.kill('SIGKILL');
      });
      t.not((await done).code, 0);
    }
    const state = async (): Promise<{ phase: string; live: string }> =>
      JSON.parse((await cutover(['status', '--json'])).out) as { phase: string; live: string };
    t.like(await state(), { phase: 'swapping back', live: 'green' });
    const back = await cutover(['swap-back', '--yes', '--accept-data-loss']);
    t.is(back.code, 0, back.err);
    t.deepEqual(await rowsOf(server(), blue.name), HELD);
    t.deepEqual(await rowsOf(server(), green.name), ALL);
    const retired = await cutover(['retire']);
    t.is(retired.code, 3);
    t.regex(retired.err, FIRST);
    t.regex(retired.err, SECOND);
  },
);

const LACKING = [14, 15].filter((major) => !majors().includes(major));
const SKIPPED = LACKING.length > 0 ? ` (SKIPPED: PostgreSQL ${LACKING.join(', ')} is missing)` : '';

(SKIPPED ? test.skip : test)(
  title(`from 14 to 15: what changes nothing stands before what does not fit${SKIPPED}`),
  async (t) => {
    const [from, to] = [await testServer(14, SETTINGS), await testServer(15, SETTINGS)];
    t.teardown(() => Promise.all([from.stop(), to.stop()]));
    const scene = await liveScene(t, {
      ...WIDENED,
      from,
      to,
      sql: WIDENED.sql.replace('n int)', 'n bigint)'),
      migration: 'alter table "Wide ""one""" alter n type int',
    });
    const { cutover, blue, green } = scene;
    const ran = await cutover(['run', 'playbook.yml']);
    t.is(ran.code, 0, ran.err);
    t.is((await cutover(['swap-back', '--yes'])).code, 0);
    const both = await ends(t, { blue: green, green: blue });
    const subscription = quoteIdentifier(both.name);
    // Nobody takes it as applied.
    await both.to.query(`alter subscription ${subscription} disable`);
    await until(
      'the worker to end',
      async () => (await both.from.query('select from pg_replication_slots where active')).length === 0,
    );
    for (const sql of [
      'analyze plain',
      'analyze accounts',
      'insert into "Wide ""one""" values (2, 3000000000)',
      'analyze plain',
      'insert into "Wide ""one""" values (3, 4000000000)',
      `insert into plain values (2, 'behind')`,
    ])
      await both.from.query(sql);
    const confirmed = async (): Promise<unknown> =>
      both.from.query('select confirmed_flush_lsn::text from pg_replication_slots');
    const before = await confirmed();
    const looking = standingAt(both);
    await until('both to be put behind', async () => !isDeepStrictEqual(await confirmed(), before));
    await both.to.query(`alter subscription ${subscription} enable`);
    t.deepEqual((await looking)?.changes, ['1 row inserted into public."Wide ""one"""']);
    const again = await cutover(['switch', '--yes', '--accept-data-loss']);
    t.is(again.code, 0, again.err);
    t.is(again.err.match(/green passes over a transaction that does not fit/g)?.length, 2, again.err);
    t.deepEqual(await rowsOf(to, green.name), {
      plain: [
        { id: 1, note: 'one' },
        { id: 2, note: 'behind' },
      ],
      wide: [{ id: 1, n: '1' }],
    });
  },
);

test(title('14 counts nothing and passes over nothing: it says so, and green stays live'), async (t) => {
  const on = await testServer(14, SETTINGS);
  t.teardown(() => on.stop());
  const scene = await liveScene(t, { from: on, to: on, ...WIDENED });
  const { cutover, green } = scene;
  t.is((await cutover(['run', 'playbook.yml'])).code, 0);
  await standing(t, scene, /make room for it in the previous copy.*goes on by itself then$/m);
  const back = await cutover(['swap-back', '--yes', '--accept-data-loss']);
  t.is(back.code, 4, back.err);
  t.regex(back.err, /blue does not apply the changes of green[^]*make room for it in the previous copy/);
  t.deepEqual(await rowsOf(on, green.name), ALL);
  t.regex((await cutover(['status'])).out, /live: +green|green is live|green/);
});
