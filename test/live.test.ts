import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { workplace, type Workplace } from './helpers/cli.ts';
import { Ledger, LEDGER_SCHEMA } from './helpers/ledger.ts';
import { NEEDS_PGBOUNCER, pgbouncer, type Pooler } from './helpers/pgbouncer.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';

// One after the other: clients write all the time, and the machine is small.
const test = ava.serial;

const SETTINGS = { wal_level: 'logical', max_wal_senders: '20', max_replication_slots: '20' };

const servers = new Map<string, Promise<TestServer>>();
const server = (major: number, which = 'first'): Promise<TestServer> => {
  const key = `${major} ${which}`;
  const started = servers.get(key) ?? testServer(major, SETTINGS);
  servers.set(key, started);
  return started;
};
test.after.always(async () => {
  for (const started of servers.values()) await (await started).stop();
});

/** An ordinary role, which both servers and PgBouncer know by one password. */
const APP_ROLE = `do $$ begin create role app login password 'app-word'; exception when duplicate_object then end $$`;

interface Scene {
  readonly work: Workplace;
  readonly env: Record<string, string>;
  readonly pooler: Pooler;
  readonly blue: { readonly server: TestServer; readonly name: string };
  readonly green: { readonly server: TestServer; readonly name: string };
  readonly ledger: Ledger;
  readonly cutover: (args: readonly string[]) => ReturnType<Workplace['cutover']>;
}

/** Blue behind a real PgBouncer, with the ledger's tables, and a playbook that follows it. */
async function scene(
  t: ExecutionContext,
  {
    from,
    to,
    lines = '',
    perSecond = 400,
  }: { from: TestServer; to: TestServer; lines?: string; perSecond?: number },
): Promise<Scene> {
  const work = await workplace(t);
  const name = await from.database('shop');
  for (const each of new Set([from, to])) await each.sql(APP_ROLE);
  await from.sql(LEDGER_SCHEMA, name);
  await from.sql(
    'grant all on all tables in schema public to app; grant all on all sequences in schema public to app',
    name,
  );
  const green = `${name}_green`;
  const direct = new URL(from.url(name));
  const pooler = await pgbouncer([`shop = host=127.0.0.1 port=${direct.port} dbname=${name}`]);
  t.teardown(() => pooler.stop());
  await work.file('V001__tier.sql', "alter table accounts add column tier text not null default 'free';\n");
  await work.file(
    'playbook.yml',
    `version: 1
name: shop
blue: \${DATABASE_URL}
green: ${from === to ? green : '${GREEN_URL}'}
sync: logical
migrate: [sql: { directory: . }]
gate: open
switch:
  targets:
    - pgbouncer: { admin: "\${ADMIN_URL}", database: shop, file: ${pooler.file} }
${lines}`,
  );
  const env = { DATABASE_URL: from.url(name), GREEN_URL: to.url(green), ADMIN_URL: pooler.admin };
  return {
    work,
    env,
    pooler,
    blue: { server: from, name },
    green: { server: to, name: green },
    ledger: new Ledger(pooler.url('shop'), { perSecond }),
    cutover: (args) => work.cutover(args, env),
  };
}

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
      const { ledger, cutover, blue, green } = await scene(t, { from: await from(), to: await to() });
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
