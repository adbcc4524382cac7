import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../../core/errors.ts';
import type { Names } from '../../core/database/database.ts';
import type { Side } from '../../core/side.ts';
import type { Fixture } from '../../databases/postgres/fixture/describe.ts';
import { loadFixture } from '../../databases/postgres/fixture/load.ts';
import { addSecret } from '../../util/redact.ts';
import { quoteIdentifier, quoteLiteral } from '../../util/sql.ts';
import { stageMark } from './abandoned.ts';
import { inventoryOf } from './inventory.ts';
import { Ledger, LEDGER_SCHEMA } from '../clients/ledger.ts';
import { openServers, type ServersOptions } from './open.ts';
import { connect, type StageServer } from './servers.ts';

export interface StageOptions extends ServersOptions {
  readonly names: Names;
  readonly fixture: Fixture;
  /** Folder of pg_restore, for fixtures that are dumps; otherwise it is looked for on PATH. */
  readonly tools: string | undefined;
}

/** The role that clients of a rehearsal are. */
export const CLIENT = 'cutover_client';
const TEMPLATE = 'cutover_rehearsal_fixture';

/** Servers with the fixture on them, and nothing else. */
export class Stage {
  readonly names: Names;
  readonly versions: Readonly<Record<Side, string>>;
  readonly clientPassword: string;
  readonly #servers: Readonly<Record<Side, StageServer>>;
  readonly #options: StageOptions;

  private constructor(options: StageOptions, servers: Record<Side, StageServer>, password: string) {
    this.names = options.names;
    this.#options = options;
    this.#servers = servers;
    this.clientPassword = password;
    this.versions = { blue: servers.blue.version, green: servers.green.version };
  }

  static async open(options: StageOptions): Promise<Stage> {
    const password = randomBytes(12).toString('hex');
    addSecret(password);
    const servers = await openServers(options);
    let stage: Stage | undefined;
    try {
      const opened = new Stage(options, servers, password);
      if (opened.#given) await opened.#refuseOthers();
      // From here on whatever is there of these names is the stage's own.
      stage = opened;
      await opened.#prepare();
      return opened;
    } catch (error) {
      if (stage) await stage.end();
      else for (const server of new Set(Object.values(servers))) await server.end();
      throw error;
    }
  }

  /** By which processes of the stage are found when nobody is left to end them. */
  get mark(): string {
    return stageMark(this.#options.folder);
  }

  /** Its server is somebody's, and others may be on it. */
  get #given(): boolean {
    return this.#options.server.kind === 'given';
  }

  /** Kills a process of a server, as an accident would. */
  kill(side: Side, pid: number): Promise<void> {
    return this.#servers[side].kill(pid);
  }

  /** As superuser; secret. */
  url(side: Side, database = this.names[side]): string {
    return this.#servers[side].url(database);
  }

  /** As a client; secret. */
  clientUrl(side: Side, database = this.names[side]): string {
    const url = new URL(this.url(side, database));
    url.username = CLIENT;
    url.password = this.clientPassword;
    return url.href;
  }

  async ask<Row>(side: Side, database: string, sql: string): Promise<Row[]> {
    const connection = await connect(this.url(side, database), database);
    try {
      return (await connection.query(sql, undefined, { long: true })) as Row[];
    } finally {
      await connection.end();
    }
  }

  /** Both sides as they were before anything was run. */
  async reset(): Promise<void> {
    await this.#clear();
    await this.#admin(
      'blue',
      `CREATE DATABASE ${quoteIdentifier(this.names.blue)} TEMPLATE ${quoteIdentifier(TEMPLATE)}`,
    );
    // What was written to set up the stage is not to be paid for by a step of the run.
    await this.#admin('blue', 'CHECKPOINT');
  }

  /** Everything on the servers that a run could have left, a line each. */
  async inventory(): Promise<string[]> {
    const lines: string[] = [];
    for (const side of this.sides) {
      const on = this.#options.across ? ` on ${side}'s server` : '';
      const found = await inventoryOf(await this.#databases(side), (database, sql) =>
        this.ask(side, database, sql),
      );
      lines.push(...found.map((line) => line + on));
    }
    return lines.toSorted();
  }

  async end(): Promise<void> {
    if (this.#given) {
      await this.#clear();
      await this.#dropDatabase('blue', TEMPLATE);
      await this.#admin('blue', `DROP ROLE IF EXISTS ${CLIENT}`);
    }
    for (const side of this.sides) await this.#servers[side].end();
  }

  /** One for each server. */
  get sides(): readonly Side[] {
    return this.#options.across ? ['blue', 'green'] : ['blue'];
  }

  async #prepare(): Promise<void> {
    const { fixture, tools } = this.#options;
    for (const side of this.sides)
      await this.#admin(
        side,
        `CREATE ROLE ${CLIENT} LOGIN PASSWORD ${quoteLiteral(this.clientPassword)}
         IN ROLE pg_read_all_data, pg_write_all_data`,
      );
    await this.#admin('blue', `CREATE DATABASE ${quoteIdentifier(TEMPLATE)}`);
    const connection = await connect(this.url('blue', TEMPLATE), TEMPLATE);
    try {
      const { folder, scale, seed } = fixture;
      await loadFixture(connection, folder, { scale, seed, tools });
      await connection.query(
        `create schema ${LEDGER_SCHEMA}; ${new Ledger(LEDGER_SCHEMA).tables()} ${GRANTS}`,
      );
    } finally {
      await connection.end();
    }
  }

  /** A server that holds one of the names is somebody's, and no stage. */
  async #refuseOthers(): Promise<void> {
    const wanted = [...Object.values(this.names), TEMPLATE];
    const [taken] = (await this.#databases('blue', true)).filter((name) => wanted.includes(name));
    const roles = await this.ask('blue', 'postgres', `select 1 from pg_roles where rolname = '${CLIENT}'`);
    const found = taken === undefined ? roles.map(() => `a role ${CLIENT}`)[0] : `a database ${taken}`;
    if (found !== undefined)
      throw new RefusedError(`the server of --server holds ${found}`, {
        hint: 'nothing was touched; a stage is a server for tests, and what a rehearsal that died has left there is dropped by hand',
      });
  }

  async #databases(side: Side, all = false): Promise<string[]> {
    const rows = await this.ask<{ name: string }>(
      side,
      'postgres',
      `select datname as name from pg_database where datname not in ('postgres', 'template0', 'template1')`,
    );
    const names = rows.map(({ name }) => name).filter((name) => name !== TEMPLATE || all);
    // Somebody else's are none of a run's.
    const own = new Set(Object.values(this.names));
    return this.#given && !all ? names.filter((name) => own.has(name)) : names;
  }

  /** Drops every database of a run, and what holds on to it: whoever follows first, then what is kept for them. */
  async #clear(): Promise<void> {
    for (const side of this.sides)
      for (const name of await this.#databases(side)) {
        // A run that got stuck may have left it closed.
        await this.#admin(side, `ALTER DATABASE ${quoteIdentifier(name)} ALLOW_CONNECTIONS true`);
        await this.#dropSubscriptions(side, name);
      }
    for (const side of this.sides) {
      await this.#dropSlots(side);
      for (const name of await this.#databases(side)) await this.#dropDatabase(side, name);
    }
  }

  async #dropSlots(side: Side): Promise<void> {
    for (const deadline = Date.now() + 10_000; ; await sleep(100)) {
      // Who reads from one hears of its end a moment later.
      const left = await this.ask<{ active: boolean }>(
        side,
        'postgres',
        `select case when active_pid is null then pg_drop_replication_slot(slot_name) is null
           else pg_terminate_backend(active_pid) end as active
         from pg_replication_slots where slot_name like 'cutover%'`,
      );
      if (left.length === 0 || Date.now() > deadline) return;
    }
  }

  async #dropSubscriptions(side: Side, database: string): Promise<void> {
    const rows = await this.ask<{ name: string }>(
      side,
      'postgres',
      `select subname as name from pg_subscription s join pg_database d on d.oid = s.subdbid
       where d.datname = ${quoteLiteral(database)}`,
    );
    for (const { name } of rows) {
      const subscription = quoteIdentifier(name);
      for (const sql of ['DISABLE', 'SET (slot_name = NONE)'])
        await this.ask(side, database, `ALTER SUBSCRIPTION ${subscription} ${sql}`);
      await this.ask(side, database, `DROP SUBSCRIPTION ${subscription}`);
    }
  }

  async #dropDatabase(side: Side, name: string): Promise<void> {
    await this.#admin(side, `DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`);
  }

  async #admin(side: Side, sql: string): Promise<void> {
    await this.ask(side, 'postgres', sql);
  }
}

/** Clients may do what the application may. */
const GRANTS = `
do $$ declare name text; begin
  for name in select quote_ident(nspname) from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' loop
    execute 'grant all on all sequences in schema ' || name || ' to ${CLIENT}';
  end loop;
end $$;`;
