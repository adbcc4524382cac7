import type { ExecutionContext } from 'ava';
import { workplace, type Workplace } from './cli.ts';
import { cuttable, type Cuttable } from './cuttable.ts';
import { Ledger, LEDGER_SCHEMA } from './ledger.ts';
import { pgbouncer, type Pooler } from './pgbouncer.ts';
import type { TestServer } from './postgres.ts';

/** What a server needs to be followed. */
export const LIVE_SETTINGS = {
  wal_level: 'logical',
  max_wal_senders: '60',
  max_replication_slots: '60',
  max_worker_processes: '60',
  max_logical_replication_workers: '40',
};

/** An ordinary role, which both servers and PgBouncer know by one password. */
export const APP_ROLE = `do $$ begin create role app login password 'app-word'; exception when duplicate_object then end $$`;

export interface LiveScene {
  readonly work: Workplace;
  readonly env: Record<string, string>;
  readonly pooler: Pooler;
  /** The way to PgBouncer's admin console that the tool takes. */
  readonly admin: Cuttable;
  readonly blue: { readonly server: TestServer; readonly name: string };
  readonly green: { readonly server: TestServer; readonly name: string };
  readonly ledger: Ledger;
  readonly cutover: (args: readonly string[]) => ReturnType<Workplace['cutover']>;
}

/** Blue behind a real PgBouncer, with the ledger's tables, and a playbook that follows it. */
export async function liveScene(
  t: Pick<ExecutionContext, 'teardown'>,
  {
    from,
    to,
    lines = '',
    perSecond = 400,
    sql = '',
    migration = "alter table accounts add column tier text not null default 'free'",
    head = 'sync: logical',
    gate = 'open',
    targets,
  }: {
    from: TestServer;
    to: TestServer;
    /** Below `switch`. */
    lines?: string;
    perSecond?: number;
    /** Besides the ledger's tables. */
    sql?: string;
    migration?: string;
    /** Of the playbook. */
    head?: string;
    gate?: string;
    /** Instead of PgBouncer alone; gets its entry as the list writes it. */
    targets?: (own: string, blue: string) => readonly string[];
  },
): Promise<LiveScene> {
  const work = await workplace(t);
  const name = await from.database('shop');
  for (const each of new Set([from, to])) await each.sql(APP_ROLE);
  await from.sql(LEDGER_SCHEMA + sql, name);
  await from.sql(
    'grant all on all tables in schema public to app; grant all on all sequences in schema public to app',
    name,
  );
  const green = `${name}_green`;
  const direct = new URL(from.url(name));
  const pooler = await pgbouncer([`shop = host=127.0.0.1 port=${direct.port} dbname=${name}`]);
  t.teardown(() => pooler.stop());
  await work.file('V001__tier.sql', `${migration};\n`);
  const own = `pgbouncer: { admin: "\${ADMIN_URL}", database: shop, file: ${pooler.file} }`;
  await work.file(
    'playbook.yml',
    `version: 1
name: shop
blue: \${DATABASE_URL}
green: ${from === to ? green : '${GREEN_URL}'}
${head}
migrate: [sql: { directory: . }]
gate: ${gate}
switch:
  targets:
${(targets?.(own, name) ?? [own]).map((line) => `    - ${line}\n`).join('')}${lines}`,
  );
  const admin = await cuttable(t, pooler.port);
  const env = {
    DATABASE_URL: from.url(name),
    GREEN_URL: to.url(green),
    ADMIN_URL: admin.through(pooler.admin),
  };
  const ledger = new Ledger(pooler.url('shop'), { perSecond });
  // A test that failed has not stopped it.
  t.teardown(() => ledger.stop());
  return {
    work,
    env,
    pooler,
    admin,
    blue: { server: from, name },
    green: { server: to, name: green },
    ledger,
    cutover: (args) => work.cutover(args, env),
  };
}
