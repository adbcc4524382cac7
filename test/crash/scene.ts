import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cli, source, root, type Outcome } from '../helpers/cli.ts';
import { dump } from '../helpers/dump.ts';
import { LIVE_SETTINGS } from '../helpers/live-scene.ts';
import { testServer, type TestServer } from '../helpers/postgres.ts';
import { embeddedBinaries } from '../../src/databases/postgres/embedded/binaries.ts';
import { startCluster } from '../../src/databases/postgres/embedded/cluster.ts';
import { WritingClient } from './client.ts';
import type { Order } from './order.ts';

const TEMPLATE = 'crash_template';
const SETTINGS = {
  fsync: 'off',
  max_connections: '200',
  shared_buffers: '64MB',
  ...LIVE_SETTINGS,
  // A worker that ends is started again at once, not after five seconds.
  wal_retrieve_retry_interval: '100ms',
};
/** A process that is still there after this has hung, which is a failure of its own. */
const HANGS_MS = 90_000;

/** A server with a template for the scenes, and what a database of theirs looks like before and after the run. */
export interface Stage {
  readonly server: TestServer;
  /** Green follows blue while clients write. */
  readonly live: boolean;
  /** What every command is told about where the journal is. */
  readonly state: readonly string[];
  readonly before: readonly string[];
  stop(): Promise<void>;
}

export interface Kind {
  readonly journal: 'folder' | 'postgres';
  readonly live: boolean;
}

const SCHEMA = `
create type "Tier" as enum ('free', 'paid');
create table users (id serial primary key, email text unique, "order" int generated always as identity);
create schema "odd ""schema""";
create table "odd ""schema"""."Shop's ☕" ("select" int primary key, tier "Tier" not null default 'free', price numeric);
create table events (at date not null, what text) partition by range (at);
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
create table nokey (a int, b text);
create table "Writes" (id bigint primary key);
create sequence tickets start 100;
insert into users (email) select 'user' || g || '@example.org' from generate_series(1, 150) g;
insert into "odd ""schema"""."Shop's ☕" select g, 'paid', g * 1.5 from generate_series(1, 80) g;
insert into events select '2026-03-01', 'event ' || g from generate_series(1, 60) g;
insert into nokey select g % 3, repeat('x', g) from generate_series(1, 40) g;
select nextval('tickets')`;

export async function stage({ journal, live }: Kind): Promise<Stage> {
  const server = await testServer(undefined, SETTINGS);
  await server.sql(`create database ${TEMPLATE}`);
  await server.sql(SCHEMA, TEMPLATE);
  // Recovery takes sequences forward to where the log has them; a stopped server must not look like a faulty run.
  await server.sql('checkpoint');
  await server.sql('create database journals');
  return {
    server,
    live,
    state: journal === 'folder' ? [] : ['--state', server.url('journals')],
    before: withoutWrites(await dump(server, TEMPLATE)),
    stop: () => server.stop(),
  };
}

/** A dump without the application's own rows, the times in the migrator's version table, and what counts markers. */
export const withoutWrites = (lines: readonly string[]): string[] =>
  lines
    .filter((line) => !/^row of "(?:public"\."Writes|cutover_sync"\."marker)"/.test(line))
    .map((line) =>
      line.startsWith('row of "public"."cutover_migrations"')
        ? line.replace(/"20[^"]*",\d+,/, 'at some time,')
        : line.replaceAll(/\d{8}[-_]\d{6}[-_][0-9a-f]{6}/g, 'RUN'),
    );

/** Starts a stage's server again after it was stopped at once. */
export async function restart({ server }: Stage): Promise<void> {
  await startCluster({ binaries: await embeddedBinaries(), home: server.cluster.folder, settings: SETTINGS });
}

/** One database with its playbook and a client that writes to it. */
export interface Scene {
  readonly stage: Stage;
  readonly folder: string;
  readonly database: string;
  readonly client: WritingClient;
  readonly struck: string;
  /** Runs `cutover`, with a fault in it when there is an order. */
  readonly cutover: (args: readonly string[], order?: Partial<Order>) => Promise<Outcome>;
  end(): Promise<void>;
}

let scenes = 0;

export async function scene(at: Stage): Promise<Scene> {
  scenes += 1;
  const { server } = at;
  const folder = await mkdtemp(join(tmpdir(), 'cutover-test-crash-'));
  const database = `sc${process.pid}x${scenes}`;
  await server.sql(`create database ${database} template ${TEMPLATE}`);
  await files(folder, database, at.live);
  const struck = join(folder, 'struck');
  const common: Order = {
    database,
    struck,
    postmaster: join(server.cluster.folder, 'data/postmaster.pid'),
    url: server.url('postgres'),
  };
  const client = new WritingClient(server.url(database));
  return {
    stage: at,
    folder,
    database,
    client,
    struck,
    cutover: (args, order) =>
      start(folder, server.url(database), [...args, ...at.state], order && { ...common, ...order }),
    async end() {
      await client.stop();
      await endFollowing(server, database);
      const names = await server.sql<{ name: string }>(
        `select datname as name from pg_database where datname like '${database}%'
           or datname like 'cutover\\_%'`,
      );
      for (const { name } of names) await server.sql(`drop database if exists "${name}" with (force)`);
      // The latest run of a state database that all scenes share is the next scene's own.
      if (at.state.length > 0) await server.sql('drop schema if exists cutover cascade', 'journals');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What replication holds of a scene's databases, which keeps them from being dropped. */
async function endFollowing(server: TestServer, database: string): Promise<void> {
  const subscriptions = await server.sql<{ name: string; database: string }>(
    `select subname as name, datname as database from pg_subscription join pg_database d on d.oid = subdbid
     where datname like '${database}%'`,
  );
  for (const { name, database: there } of subscriptions) {
    await server.sql(`alter database ${there} with allow_connections true`);
    await server.sql(`alter subscription ${name} disable`, there);
    await server.sql(`alter subscription ${name} set (slot_name = none)`, there);
    await server.sql(`drop subscription ${name}`, there);
  }
  await server.sql(
    `select pg_terminate_backend(active_pid) from pg_replication_slots where database like '${database}%' and active`,
  );
  for (let tries = 0; tries < 50; tries += 1) {
    const left = await server.sql(
      `select case when not active then pg_drop_replication_slot(slot_name) end from pg_replication_slots where database like '${database}%'`,
    );
    if (left.length === 0) return;
    await sleep(50);
  }
}

const hook = (when: string, phase: string): string =>
  `  - { ${when}: ${phase}, run: "echo run ${when} ${phase} >> hooks.log", undo: "echo undo ${when} ${phase} >> hooks.log", timeout: 10s }`;

async function files(folder: string, database: string, live: boolean): Promise<void> {
  const tool = join(folder, 'tool.mjs');
  await writeFile(join(folder, 'app.env'), 'SIDE=blue\nOTHER=kept\n');
  await writeFile(
    join(folder, 'V001__tier.sql'),
    'alter table users add column tier text;\ncreate index users_tier on users (tier);\n',
  );
  await writeFile(join(folder, 'V002__loyalty.sql'), 'create table loyalty (id int primary key);\n');
  await writeFile(
    tool,
    `import pg from ${JSON.stringify(join(root, 'node_modules/pg/esm/index.mjs'))};
const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
await client.query('create table if not exists by_tool (id int)');
await client.end();
`,
  );
  await writeFile(
    join(folder, 'playbook.yml'),
    `version: 1
name: crash
blue: \${DATABASE_URL}
green: ${database}_green
${live ? 'sync: { method: logical, without-identity: full }\n' : ''}migrate:
  - sql: { directory: . }
  - command: { run: "${process.execPath} tool.mjs" }
gate: ask
hooks:
${[hook('before', live ? 'publish' : 'fence'), hook('after', 'clone'), hook('before', 'switch'), hook('after', 'switch')].join('\n')}
switch:
  long-transactions: { wait: 2s, then: end }
  targets:
    - env-file: { path: app.env, variable: SIDE, blue: blue, green: green }
    - database-rename: { previous: ${database}_previous }
`,
  );
}

function start(
  folder: string,
  url: string,
  args: readonly string[],
  order: Order | undefined,
): Promise<Outcome> {
  const { CI: _ci, NO_COLOR: _noColor, FORCE_COLOR: _force, ...inherited } = process.env;
  // What is loaded before has a hand on the modules, which are whole files only there.
  const start = order ? ['--import', join(import.meta.dirname, 'preload.ts'), '--', source] : ['--', cli];
  const child = spawn(process.execPath, [...start, ...args], {
    cwd: folder,
    env: {
      ...inherited,
      NODE_COMPILE_CACHE: join(tmpdir(), 'cutover-test-compile-cache'),
      DATABASE_URL: url,
      ...(order ? { CRASH_ORDER: JSON.stringify(order) } : {}),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (err += chunk));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`cutover ${args.join(' ')} hangs\n${out}${err}`));
    }, HANGS_MS);
    child.once('error', reject);
    // What a killed process had started may hold its pipes open for a while: its own end counts.
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      setTimeout(() => resolve({ code, signal, out, err }), 20);
    });
  });
}

/** The points that were reached, in order. */
export const readPoints = async (path: string): Promise<string[]> =>
  (await readFile(path, 'utf8'))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as string);
