// What a follower stands at is found for certain, and only that is passed over.
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { ExecutionContext } from 'ava';
import { addressOf } from '../src/databases/postgres/address.ts';
import { Connection } from '../src/databases/postgres/connection.ts';
import { skip, standingAt } from '../src/databases/postgres/live/objects/passing.ts';
import { quoteIdentifier } from '../src/util/sql.ts';
import { liveScene, type LiveScene } from './helpers/live-scene.ts';
import { liveSuite } from './helpers/live-suite.ts';
import { majors, testServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';
import { ALL, FIRST, rowsOf, SETTINGS, WIDENED, written } from './helpers/widened.ts';

const { test, title } = liveSuite();

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
  return { from, address: addressOf(green.server.url(green.name), 'test'), to, name: row!.name, control };
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

test(title('who loses the connection in the middle of what fits is not told as failing at it'), async (t) => {
  const on = await testServer(18, { ...SETTINGS, logging_collector: 'on' });
  t.teardown(() => on.stop());
  const scene = await liveScene(t, { from: on, to: on, ...WIDENED });
  const { cutover, green } = scene;
  t.is((await cutover(['run', 'playbook.yml'])).code, 0);
  const both = await ends(t, scene);
  const subscription = quoteIdentifier(both.name);
  await both.to.query(`alter subscription ${subscription} disable`);
  await on.sql(`insert into plain select n, 'fits' from generate_series(100, 400000) n`, green.name);
  const looking = standingAt(both);
  const over = new AbortController();
  const cutting = (async () => {
    for (; !over.signal.aborted; await sleep(100))
      await on.sql(
        `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '${both.name}'
           and exists (select from pg_stat_activity where pid = active_pid and backend_type = 'walsender')`,
      );
  })();
  await both.to.query(`alter subscription ${subscription} enable`);
  t.is(await looking, undefined);
  over.abort();
  await cutting;
  const [row] = await both.to.query<{ n: number }>(
    'select sum(apply_error_count)::int4 as n from pg_stat_subscription_stats',
  );
  t.true(row!.n >= 3, `${row!.n}`);
});
