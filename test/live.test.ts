import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { LIVE_SETTINGS, liveScene } from './helpers/live-scene.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';

// One after the other: clients write all the time, and the machine is small.
const test = ava.serial;

const servers = new Map<string, Promise<TestServer>>();
const server = (major: number, which = 'first'): Promise<TestServer> => {
  const key = `${major} ${which}`;
  const started = servers.get(key) ?? testServer(major, LIVE_SETTINGS);
  servers.set(key, started);
  return started;
};
test.after.always(async () => {
  for (const started of servers.values()) await (await started).stop();
});

/** Nothing of any run is left: neither on the servers, nor in the databases that live on. */
async function assertNothingLeft(t: ExecutionContext, on: TestServer, database: string): Promise<void> {
  t.deepEqual(await on.sql(`select slot_name from pg_replication_slots where database = '${database}'`), []);
  t.deepEqual(await on.sql('select pubname from pg_publication', database), []);
  t.deepEqual(await on.sql(`select nspname from pg_namespace where nspname = 'cutover_sync'`, database), []);
  t.deepEqual(await on.sql(`select tgname from pg_trigger where tgname like 'cutover%'`, database), []);
}

const PAIRS = [
  { title: 'on one server', from: () => server(18), to: () => server(18), needs: [18] },
  {
    title: 'across two servers of one major',
    from: () => server(15),
    to: () => server(15, 'second'),
    needs: [15],
  },
  { title: 'from 15 to 18', from: () => server(15), to: () => server(18), needs: [15, 18] },
];

for (const { title, from, to, needs } of PAIRS) {
  const lacking = needs.filter((major) => !majors().includes(major));
  const skipped =
    NEEDS_PGBOUNCER || (lacking.length > 0 ? ` (SKIPPED: PostgreSQL ${lacking.join(', ')} is missing)` : '');
  (skipped ? ava.skip : test)(
    `eight clients write through clone, sync, switch, swap back and a second switch ${title}: none fails, nothing is lost${skipped}`,
    async (t) => {
      const { ledger, cutover, blue, green } = await liveScene(t, { from: await from(), to: await to() });
      ledger.start();
      await sleep(500);
      const ran = await cutover(['run', 'playbook.yml']);
      t.is(ran.code, 0, ran.err);
      await sleep(2000);
      const back = await cutover(['swap-back', '--yes']);
      t.is(back.code, 0, back.err);
      await sleep(1000);
      const again = await cutover(['switch', '--yes']);
      t.is(again.code, 0, again.err);
      await sleep(500);
      const { errors, acknowledged } = await ledger.stop();
      t.deepEqual(errors, []);
      t.true(acknowledged > 500, `${acknowledged}`);
      t.deepEqual(await ledger.problems(green.server, green.name), []);
      const retired = await cutover(['retire', '--confirm', blue.name]);
      t.is(retired.code, 0, retired.err);
      await assertNothingLeft(t, green.server, green.name);
      t.deepEqual(await blue.server.sql(`select slot_name from pg_replication_slots`), []);
    },
  );
}
