import { RefusedError, StepError } from '../../core/errors.ts';
import type { Side } from '../../core/side.ts';
import type { Access } from './access.ts';
import type { Connection } from './connection.ts';
import { findByName, findByOid, type Found } from './copy/copy.ts';
import { KeptConnection } from './kept-connection.ts';

interface Hand {
  readonly kept: KeptConnection;
  connection: Connection | undefined;
}

/** Which database each side is, by server and object id: names move, ids do not. */
export class Sides {
  readonly #servers: Readonly<Record<Side, Access>>;
  readonly #oids = new Map<Side, number>();
  readonly #hands = new Map<`${'first' | 'second'} ${Side}`, Hand>();

  constructor(servers: Readonly<Record<Side, Access>>) {
    this.#servers = servers;
  }

  /** Both are on one server. */
  get together(): boolean {
    return this.#servers.blue === this.#servers.green;
  }

  /** The servers, each once. */
  get servers(): Access[] {
    return [...new Set(Object.values(this.#servers))];
  }

  server(side: Side): Access {
    return this.#servers[side];
  }

  admin(side: Side): Promise<Connection> {
    return this.#servers[side].maintenance();
  }

  /** Object ids of the sides that are bound on blue's server. */
  get oidsBesideBlue(): number[] {
    return [...this.#oids].flatMap(([side, oid]) => (side === 'blue' || this.together ? [oid] : []));
  }

  bind(side: Side, oid: number): void {
    this.#oids.set(side, oid);
  }

  async forget(side: Side): Promise<void> {
    await this.letGo(side);
    this.#oids.delete(side);
  }

  /** Throws RefusedError when there is no database of that name. */
  async bindByName(side: Side, name: string): Promise<void> {
    const found = await findByName(await this.admin(side), name);
    const { host, port } = this.server(side).address;
    if (!found) {
      throw new RefusedError(`there is no database ${name} on ${host}:${port}`, {
        hint: 'check the database name in the connection string',
      });
    }
    this.bind(side, found.oid);
  }

  async find(side: Side): Promise<Found | undefined> {
    const oid = this.#oids.get(side);
    return oid === undefined ? undefined : findByOid(await this.admin(side), oid);
  }

  async found(side: Side): Promise<Found> {
    const found = await this.find(side);
    if (found) return found;
    throw new StepError(`${side}'s database is not on the server any more`, {
      hint: 'has somebody dropped it?',
    });
  }

  /** Size of a side's database. */
  async bytes(side: Side): Promise<number> {
    const { oid } = await this.found(side);
    const [row] = await (
      await this.admin(side)
    ).query<{ bytes: number }>('select pg_database_size($1::oid)::float8 as bytes', [oid], { long: true });
    return row!.bytes;
  }

  /** A new connection to a side's database. */
  async connect(side: Side): Promise<Connection> {
    return this.server(side).connect((await this.found(side)).name);
  }

  /** A connection to a side's database that is kept for work in it. */
  hand(side: Side): Promise<Connection> {
    return this.#kept(side, 'first');
  }

  #kept(side: Side, which: 'first' | 'second'): Promise<Connection> {
    const key = `${which} ${side}` as const;
    const held: Hand = this.#hands.get(key) ?? {
      connection: undefined,
      kept: new KeptConnection(async () => {
        held.connection = await this.#connectForWork(side);
        return held.connection;
      }),
    };
    this.#hands.set(key, held);
    return held.kept.get();
  }

  async #connectForWork(side: Side): Promise<Connection> {
    const connection = await this.connect(side);
    const { limits } = this.server(side).address;
    connection.limit = limits.statement;
    await connection.query(
      `set idle_session_timeout = 0; set statement_timeout = 0; set search_path = ''; set lock_timeout = ${limits.lock};
       set default_transaction_read_only = off; set synchronous_commit = on; set plan_cache_mode = force_generic_plan;
       set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3`,
    );
    return connection;
  }

  /** One more, for what is done at the same time. */
  secondHand(side: Side): Promise<Connection> {
    return this.#kept(side, 'second');
  }

  /** Whether the tool is in a side already, however closed it is. */
  isIn(side: Side): boolean {
    return this.#hands.get(`first ${side}`)?.connection?.lost === false;
  }

  /** Sessions of the kept connections. */
  pids(): number[] {
    return [...this.#hands.values()].flatMap(({ connection }) => connection?.pid ?? []);
  }

  async letGo(side: Side): Promise<void> {
    for (const which of ['first', 'second'] as const) {
      await this.#hands.get(`${which} ${side}`)?.kept.end();
      this.#hands.delete(`${which} ${side}`);
    }
  }

  async end(): Promise<void> {
    await this.letGo('blue');
    await this.letGo('green');
    for (const server of this.servers) await server.end();
  }
}
