import type * as core from '../../core/database/database.ts';
import type { Facts } from '../../core/database/facts.ts';
import type { Mark } from '../../core/database/mark.ts';
import type { Reader } from '../../core/database/catalog.ts';
import { StepError } from '../../core/errors.ts';
import type { MigrationTarget } from '../../core/drivers/migrator.ts';
import type { CloneOptions, LongTransactions } from '../../core/playbook.ts';
import type { ClonePlan, PlannedClone } from '../../core/database/clone.ts';
import type { WorkControl } from '../../core/work.ts';
import type { Live } from '../../core/database/live.ts';
import type { Side } from '../../core/side.ts';
import { quoteIdentifier } from '../../util/sql.ts';
import { withDatabase } from '../../util/url.ts';
import { chooseStrategy, planClone } from './copy/clone-plan.ts';
import { Access } from './access.ts';
import { Sides } from './sides.ts';
import { addressOf, type ConnectionLimits } from './address.ts';
import { Copies } from './copy/copies.ts';
import { shownCopySteps, findByName, makeCopy } from './copy/copy.ts';
import { readFacts } from './facts/facts.ts';
import { endAbandoned } from './door/abandoned.ts';
import { Doors } from './door/doors.ts';
import { Following } from './live/live.ts';
import { RunLock } from './lock.ts';
import { parseMark } from './copy/mark.ts';
import { Readers } from './reading/readers.ts';
import { planRename } from './door/rename.ts';
import { readBaseline, readWrites } from './writes.ts';

export interface PostgresOptions {
  /** Connection string of blue; secret. */
  readonly url: string;
  readonly run: string;
  /** Milliseconds for which a server that is just away is waited for. */
  readonly patience?: number;
  readonly limits?: ConnectionLimits;
  /** Connection string of green's server, when it is another one; secret. */
  readonly greenUrl?: string | undefined;
  /** Folder of pg_dump and pg_restore; otherwise they are looked for on PATH. */
  readonly tools?: string | undefined;
}

/** Blue and its copy, on one PostgreSQL server or on two. */
export class Postgres implements core.Database {
  readonly live: Live;
  readonly #run: string;
  readonly #sides: Sides;
  readonly #readers = new Readers();
  readonly #doors: Doors;
  readonly #copies: Copies;
  #lock: RunLock | undefined;

  constructor(options: PostgresOptions) {
    this.#run = options.run;
    const access = (url: string): Access =>
      new Access(addressOf(url, `cutover ${options.run}`, options.limits), options.patience ?? 5000);
    const blue = access(options.url);
    const green = options.greenUrl === undefined ? blue : access(options.greenUrl);
    this.#sides = new Sides({ blue, green });
    this.#doors = new Doors(this.#sides, this.#readers, options.run);
    this.#copies = new Copies(this.#sides, this.#readers, options.run);
    this.live = new Following(this.#sides, options.run, options.tools);
  }

  get together(): boolean {
    return this.#sides.together;
  }

  /** Where the sides' servers are, when they are two. */
  get places(): Readonly<Record<Side, { host: string; port: string }>> | undefined {
    const place = (side: Side): { host: string; port: string } => {
      const { host, port } = this.#sides.server(side).address;
      return { host, port: String(port) };
    };
    return this.together ? undefined : { blue: place('blue'), green: place('green') };
  }

  setPatience(ms: number): void {
    for (const server of this.#sides.servers) server.patience = ms;
  }

  planClone(facts: Facts, green: string, options: CloneOptions): PlannedClone {
    const choice = chooseStrategy(facts, options);
    const plan = planClone(facts, green, this.#run, choice);
    return {
      plan,
      does: [plan.create, ...shownCopySteps(plan, this.#run)],
      reason: choice.reason,
      estimate: choice.estimate,
    };
  }

  planClose(name: string): string[] {
    return [
      `ALTER DATABASE ${quoteIdentifier(name)} WITH ALLOW_CONNECTIONS false`,
      `pg_terminate_backend(…) for every other session in ${name}`,
    ];
  }

  planRename(moves: readonly { from: string; to: string }[]): string[] {
    return planRename(moves);
  }

  has = async (name: string): Promise<boolean> =>
    (await findByName(await this.#sides.admin('blue'), name)) !== undefined;

  bind(side: Side, oid: number): void {
    this.#sides.bind(side, oid);
  }

  /** Binds a side by the database's name; throws RefusedError when there is none. */
  bindByName(side: Side, name: string): Promise<void> {
    return this.#sides.bindByName(side, name);
  }

  /** `system_identifier`: the same server, whatever its address. */
  async identity(side: Side = 'blue'): Promise<{ identifier: string }> {
    const admin = await this.#sides.admin(side);
    const [row] = await admin.query<{ identifier: string }>(
      'select system_identifier::text as identifier from pg_control_system()',
    );
    return row!;
  }

  async inspect({ live } = { live: false }): Promise<Facts> {
    const blue = await this.#sides.found('blue');
    const facts = await readFacts(await this.#sides.admin('blue'), blue.oid, this.#ownPids(), () =>
      this.#sides.connect('blue'),
    );
    return live && !facts.blue.closed ? { ...facts, live: await this.live.facts() } : facts;
  }

  async lock(): Promise<void> {
    if (await this.#lock?.isHeld()) return;
    if (this.#lock) {
      await this.#lock.release();
      this.#lock = undefined;
      // The server may still hold it for the session that was lost.
      await this.endAbandoned();
    }
    const { address, patience } = this.#sides.server('blue');
    this.#lock = await RunLock.take(address, this.#sides.oidsBesideBlue, patience);
  }

  async endAbandoned(): Promise<void> {
    const own = [...this.#ownPids(), ...(this.#lock ? [this.#lock.pid] : [])];
    for (const server of this.#sides.servers)
      await endAbandoned(await server.maintenance(), server.address.application, own);
  }

  async assertLocked(): Promise<void> {
    if (!this.#lock) throw new StepError('the run lock is not held');
    await this.#lock.assertHeld();
  }

  async state(side: Side): Promise<core.SideState | undefined> {
    const found = await this.#sides.find(side);
    if (!found) return undefined;
    const { name, oid, open, comment, version } = found;
    return { name, oid, closed: !open, mark: parseMark(comment), version };
  }

  close(side: Side, long: LongTransactions, control: WorkControl): Promise<void> {
    return this.#doors.close(side, long, control);
  }

  reenter(side: Side, control: WorkControl): Promise<boolean> {
    return this.#doors.reenter(side, control);
  }

  open(side: Side, as?: Mark['as']): Promise<void> {
    return this.#doors.open(side, as);
  }

  async clone(plan: ClonePlan, control: WorkControl): Promise<{ oid: number }> {
    // A template must have no session but the one that copies it: the clone runs on blue's own reader.
    const reader = this.#readers.get('blue');
    if (!reader) throw new StepError('blue must be closed before it is cloned');
    await this.#sides.letGo('blue');
    await reader.connection.query('SET default_transaction_read_only = off');
    try {
      const oid = await makeCopy(
        { on: reader.connection, address: this.#sides.server('blue').address, blue: reader.connection },
        plan,
        this.#run,
        control,
      );
      this.bind('green', oid);
      return { oid };
    } finally {
      if (!reader.connection.lost) await reader.connection.query('SET default_transaction_read_only = on');
    }
  }

  drop(side: Side, as: Mark['as']): Promise<boolean> {
    return this.#copies.drop(side, as);
  }

  mark(side: Side, mark: Mark['as'] | undefined, comment: string | undefined): Promise<void> {
    return this.#copies.mark(side, mark, comment);
  }

  rename(moves: readonly { side: Side; from: string; to: string }[]): Promise<void> {
    return this.#doors.rename(moves);
  }

  async reader(side: Side): Promise<Reader> {
    return (await this.#reader(side)).reader;
  }

  async releaseReaders(): Promise<void> {
    await this.#readers.releaseAll();
    await this.#sides.letGo('blue');
    await this.#sides.letGo('green');
  }

  async baseline(side: Side): Promise<core.Baseline> {
    const { connection, reader } = await this.#reader(side);
    return readBaseline(connection, reader);
  }

  async writesSince(side: Side, baseline: core.Baseline): Promise<core.WriteReport> {
    const { connection, reader } = await this.#reader(side);
    return readWrites(connection, reader, baseline);
  }

  async migrationTarget(side: Side): Promise<MigrationTarget> {
    const { name } = await this.#sides.found(side);
    return { name, url: await this.url(side), session: () => this.#sides.connect(side) };
  }

  async url(side: Side): Promise<string> {
    return withDatabase(this.#sides.server(side).address.given, (await this.#sides.found(side)).name);
  }

  async end(): Promise<void> {
    await this.releaseReaders();
    await this.#sides.end();
    await this.#lock?.release();
    this.#lock = undefined;
  }

  #reader(side: Side): ReturnType<Readers['obtain']> {
    return this.#readers.of(side, this.#sides);
  }

  #ownPids(): number[] {
    return [...this.#readers.pids(), ...this.#sides.pids()];
  }
}
