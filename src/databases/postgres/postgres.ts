import type * as core from '../../core/database.ts';
import type { Facts, Mark } from '../../core/facts.ts';
import type { Reader } from '../../core/catalog.ts';
import { StepError } from '../../core/errors.ts';
import type { MigrationTarget } from '../../core/migrator.ts';
import type { LongTransactions, Playbook } from '../../core/playbook.ts';
import type { Side } from '../../core/side.ts';
import { quoteIdentifier, quoteLiteral } from '../../util/sql.ts';
import { withDatabase } from '../../util/url.ts';
import { chooseStrategy, planClone } from './copy/clone-plan.ts';
import { Access } from './access.ts';
import { Bound } from './bound.ts';
import { addressOf, type Address, type ConnectionLimits } from './address.ts';
import { shownCopySteps, dropMarked, findByName, findCopy, makeCopy } from './copy/copy.ts';
import { readFacts } from './facts/facts.ts';
import { endAbandoned } from './door/abandoned.ts';
import { closeDatabase, openDatabase } from './door/fence.ts';
import { RunLock } from './lock.ts';
import { formatMark, interimName, parseMark } from './copy/mark.ts';
import { Readers } from './readers.ts';
import { reenterClosed } from './door/reenter.ts';
import { planRename, renameTogether } from './door/rename.ts';
import { readBaseline, readWrites } from './writes.ts';

export interface PostgresOptions {
  /** Connection string of blue; secret. */
  readonly url: string;
  readonly run: string;
  /** Milliseconds for which a server that is just away is waited for. */
  readonly patience?: number;
  readonly limits?: ConnectionLimits;
}

/** A PostgreSQL server with blue and its copy on it. */
export class Postgres implements core.Database {
  readonly address: Address;
  readonly #run: string;
  readonly #sides: Bound;
  readonly #readers = new Readers();
  readonly #access: Access;
  #lock: RunLock | undefined;

  constructor(options: PostgresOptions) {
    this.#run = options.run;
    this.address = addressOf(options.url, `cutover ${options.run}`, options.limits);
    this.#access = new Access(this.address, options.patience ?? 5000);
    this.#sides = new Bound(this.#access);
  }

  setPatience(ms: number): void {
    this.#access.patience = ms;
  }

  planClone(facts: Facts, green: string, strategy: Playbook['clone']['strategy']): core.PlannedClone {
    const choice = chooseStrategy(facts, strategy);
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

  async has(name: string): Promise<boolean> {
    return (await findByName(await this.#access.maintenance(), name)) !== undefined;
  }

  bind(side: Side, oid: number): void {
    this.#sides.bind(side, oid);
  }

  /** Binds a side by the database's name; throws RefusedError when there is none. */
  bindByName(side: Side, name: string): Promise<void> {
    return this.#sides.bindByName(side, name);
  }

  /** `system_identifier`: the same server, whatever its address. */
  async identity(): Promise<{ identifier: string }> {
    const admin = await this.#access.maintenance();
    const [row] = await admin.query<{ identifier: string }>(
      'select system_identifier::text as identifier from pg_control_system()',
    );
    return row!;
  }

  async inspect(): Promise<Facts> {
    const blue = await this.#sides.found('blue');
    return readFacts(await this.#access.maintenance(), blue.oid, this.#readers.pids(), () =>
      this.#access.connect(blue.name),
    );
  }

  async lock(): Promise<void> {
    if (await this.#lock?.isHeld()) return;
    if (this.#lock) {
      await this.#lock.release();
      this.#lock = undefined;
      // The server may still hold it for the session that was lost.
      await this.endAbandoned();
    }
    this.#lock = await RunLock.take(this.address, this.#sides.oids, this.#access.patience);
  }

  async endAbandoned(): Promise<void> {
    const own = [...this.#readers.pids(), ...(this.#lock ? [this.#lock.pid] : [])];
    await endAbandoned(await this.#access.maintenance(), this.address.application, own);
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

  async close(side: Side, long: LongTransactions, control: core.WorkControl): Promise<void> {
    const found = await this.#sides.found(side);
    // The reader must be there before the door closes; afterwards nobody gets in, the tool neither.
    const reader = found.open ? await this.#reader(side) : this.#readers.get(side);
    const ownPids = reader ? [reader.connection.pid] : [];
    await closeDatabase({
      admin: await this.#access.maintenance(),
      address: this.address,
      oid: found.oid,
      name: found.name,
      closed: !found.open,
      ownPids,
      long,
      control,
    });
  }

  async reenter(side: Side, control: core.WorkControl): Promise<boolean> {
    if (this.#readers.get(side)) return true;
    const found = await this.#sides.found(side);
    return reenterClosed({
      admin: await this.#access.maintenance(),
      name: found.name,
      enter: () => this.#reader(side),
      close: () => this.close(side, { wait: 0, then: 'end' }, control),
    });
  }

  async open(side: Side, as?: Mark['as']): Promise<void> {
    const own = as && formatMark({ run: this.#run, as });
    await openDatabase(await this.#access.maintenance(), await this.#sides.found(side), own);
  }

  async clone(plan: core.ClonePlan, control: core.WorkControl): Promise<{ oid: number }> {
    // A template must have no session but the one that copies it: the clone runs on blue's own reader.
    const reader = this.#readers.get('blue');
    if (!reader) throw new StepError('blue must be closed before it is cloned');
    await reader.connection.query('SET default_transaction_read_only = off');
    try {
      const oid = await makeCopy(reader.connection, this.address, plan, this.#run, control);
      this.bind('green', oid);
      return { oid };
    } finally {
      if (!reader.connection.lost) await reader.connection.query('SET default_transaction_read_only = on');
    }
  }

  async drop(side: Side, as: Mark['as']): Promise<boolean> {
    const admin = await this.#access.maintenance();
    const interim = interimName(this.#run);
    const found =
      (await this.#sides.find(side)) ??
      (as === 'copy' ? await findCopy(admin, this.#run, interim) : undefined);
    if (!found) return false;
    await this.#readers.release(side);
    await dropMarked(admin, found, { run: this.#run, as }, interim);
    this.#sides.forget(side);
    return true;
  }

  async mark(side: Side, mark: Mark['as'] | undefined, comment: string | undefined): Promise<void> {
    const { name } = await this.#sides.found(side);
    const text = mark ? formatMark({ run: this.#run, as: mark }) : comment;
    const admin = await this.#access.maintenance();
    await admin.query(
      `COMMENT ON DATABASE ${quoteIdentifier(name)} IS ${text === undefined ? 'NULL' : quoteLiteral(text)}`,
    );
  }

  async rename(moves: readonly { side: Side; from: string; to: string }[]): Promise<void> {
    const bound = await Promise.all(
      moves.map(async ({ side, ...move }) => ({ ...move, oid: (await this.#sides.found(side)).oid })),
    );
    await renameTogether(await this.#access.maintenance(), bound);
  }

  async reader(side: Side): Promise<Reader> {
    return (await this.#reader(side)).reader;
  }

  releaseReaders(): Promise<void> {
    return this.#readers.releaseAll();
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
    return { name, url: await this.url(side), session: () => this.#access.connect(name) };
  }

  async url(side: Side): Promise<string> {
    return withDatabase(this.address.given, (await this.#sides.found(side)).name);
  }

  async end(): Promise<void> {
    await this.releaseReaders();
    await this.#access.end();
    await this.#lock?.release();
    this.#lock = undefined;
  }

  #reader(side: Side): ReturnType<Readers['obtain']> {
    return this.#readers.obtain(side, async () => this.#access.connect((await this.#sides.found(side)).name));
  }
}
