import type { ClonePlan } from '../../../core/database/clone.ts';
import type { WorkControl } from '../../../core/work.ts';
import { StepError } from '../../../core/errors.ts';
import type {
  FollowPlan,
  Lag,
  Live,
  Passage,
  SamePoint,
  StatementTimes,
  Way,
  WayBack,
} from '../../../core/database/live.ts';
import type { LiveFacts } from '../../../core/database/live-facts.ts';
import type { LongTransactions, Sync } from '../../../core/playbook.ts';
import type { Side } from '../../../core/side.ts';
import { quoteIdentifier, quotePath } from '../../../util/sql.ts';
import { catalogFingerprint } from '../catalog/catalog.ts';
import { copyByDump } from '../copy/dump.ts';
import { statementTimes } from '../reading/heaviest.ts';
import { createReader, prepareReaderSession } from '../reading/reader.ts';
import type { Sides } from '../sides.ts';
import { readDdl, watchDdl } from './objects/ddl.ts';
import { readLiveFacts } from './facts.ts';
import { waitForLong } from './pause/long.ts';
import { LivePassage } from './pause/passage.ts';
import { FORWARD, Turning } from './turning.ts';
import { arrived, failures, lastError, mark, readLag, readPosition } from './pause/progress.ts';
import { inOne, inOneBriefly, isPublished, publishStatements } from './objects/publication.ts';
import { samePoint } from './pause/quiesce.ts';
import { createSlot, dropSlot, findSlot } from './objects/slot.ts';
import { readSpoilers } from './spoilers.ts';
import { fenceTables, limitStatement } from './objects/standby.ts';
import { enable, findSubscription, originOf, startAt, subscribe } from './objects/subscription.ts';
import { inBoth, readTables, toFollow } from './objects/tables.ts';

const key = (path: readonly string[]): string => JSON.stringify(path);

/** Logical replication between the two sides of a run, both ways. */
export class Following extends Turning implements Live {
  readonly #tools: string | undefined;

  constructor(sides: Sides, run: string, tools: string | undefined) {
    super(sides, run);
    this.#tools = tools;
  }

  facts(): Promise<LiveFacts> {
    return readLiveFacts(this.sides, this.#tools);
  }

  async plan(sync: Sync, dropped: readonly string[], connectionLimit: number): Promise<FollowPlan> {
    const tables = await readTables(await this.sides.hand('blue'));
    return {
      tables: toFollow(tables, dropped, sync.withoutIdentity === 'full'),
      connectionLimit,
    };
  }

  describe({ tables }: FollowPlan): ReturnType<Live['describe']> {
    const name = this.name(FORWARD);
    return {
      publish: publishStatements(this.run, name, tables),
      capture: [`pg_create_logical_replication_slot('${name}', 'pgoutput')`],
      follow: [
        `on green: CREATE SUBSCRIPTION ${name} with that slot, from where the copy was made`,
        'on green: triggers that refuse every write but those of the subscription',
        'on blue: event triggers that note who changes the schema',
      ],
    };
  }

  async publish({ tables }: FollowPlan): Promise<void> {
    const name = this.name(FORWARD);
    await inOneBriefly(await this.sides.hand('blue'), publishStatements(this.run, name, tables));
  }

  async isPublished(): Promise<boolean> {
    return isPublished(await this.sides.hand('blue'), this.name(FORWARD));
  }

  async capture(control: WorkControl): Promise<void> {
    const name = this.name(FORWARD);
    const blue = await this.sides.hand('blue');
    await dropSlot(blue, name);
    await createSlot(blue, name, { access: this.sides.server('blue'), control });
  }

  async point(): Promise<string> {
    return readPosition(await this.sides.hand('blue'));
  }

  async isCaptured(): Promise<boolean> {
    const slot = await findSlot(await this.sides.admin('blue'), this.name(FORWARD));
    return slot !== undefined && !slot.lost;
  }

  async release(): Promise<boolean> {
    return dropSlot(await this.sides.admin('blue'), this.name(FORWARD));
  }

  async copy(plan: ClonePlan, control: WorkControl): Promise<{ oid: number }> {
    const slot = this.name(FORWARD);
    await this.release();
    const oid = await copyByDump({
      sides: this.sides,
      run: this.run,
      plan,
      slot,
      control,
      tools: this.#tools,
    });
    this.sides.bind('green', oid);
    // A dump brings no statistics before 18.
    await (await this.sides.hand('green')).query('ANALYZE', undefined, { long: true });
    return { oid };
  }

  async tidyCopy({ tables }: FollowPlan): Promise<void> {
    const name = this.name(FORWARD);
    const green = await this.sides.hand('green');
    await inOne(green, [
      ...publishStatements(
        this.run,
        name,
        tables.map((table) => ({ ...table, identity: undefined })),
      ),
      `DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`,
    ]);
  }

  async follow(way: Way, plan: FollowPlan, point?: string): Promise<boolean> {
    const name = this.name(way);
    const to = await this.sides.hand(way.to);
    await fenceTables(to);
    await (await this.sides.admin(way.to)).query(limitStatement((await this.sides.found(way.to)).name, 0));
    if (!(await findSubscription(to, name))) await subscribe(to, name, await this.url(way.from));
    await this.#refuseMissing(way, plan);
    const made = await findSubscription(to, name);
    if (point !== undefined && made?.enabled === false) await startAt(to, made, point);
    if (way.from === 'blue') await watchDdl(await this.sides.hand('blue'));
    await enable(to, name);
    return made?.enabled === false;
  }

  async lag(way: Way): Promise<Lag> {
    const name = this.name(way);
    const to = await this.sides.hand(way.to);
    const { subscription, ...lag } = await readLag(await this.sides.admin(way.from), to, name);
    if (lag.error !== undefined || !subscription || lag.running) return lag;
    const failed = await failures(to, subscription);
    if (failed === 0) return lag;
    return { ...lag, error: await lastError(to, [name, originOf(subscription)]), failed: failed ?? 0 };
  }

  async beat(way: Way, limit: number): Promise<number | undefined> {
    const to = await this.sides.hand(way.to);
    const subscription = await findSubscription(to, this.name(way));
    if (!subscription) throw new StepError(`the subscription ${this.name(way)} is gone`);
    const started = performance.now();
    const lsn = await mark(await this.sides.hand(way.from), way.from);
    const there = await arrived(to, subscription, lsn, started + limit);
    return there === undefined ? undefined : performance.now() - started;
  }

  async statements(side: Side): Promise<StatementTimes | undefined> {
    const hand = await this.sides.hand(side);
    return statementTimes((sql) => hand.query(sql));
  }

  async fingerprint(side: Side): Promise<string> {
    const connection = await this.sides.connect(side);
    try {
      await prepareReaderSession(connection.client);
      return catalogFingerprint(await createReader([connection.client]).catalog());
    } finally {
      await connection.end();
    }
  }

  async changes(side: Side): Promise<string[]> {
    return readDdl(await this.sides.hand(side));
  }

  async samePoint(way: Way, plan: FollowPlan, control: WorkControl): Promise<SamePoint> {
    const [from, to] = [await this.sides.hand(way.from), await this.sides.hand(way.to)];
    const subscription = await findSubscription(to, this.name(way));
    if (!subscription) throw new StepError(`the subscription ${this.name(way)} is gone`);
    return samePoint({
      sides: this.sides,
      way,
      tables: inBoth(await readTables(from), await readTables(to), plan.tables),
      subscription,
      signal: control.signal,
      attempt: (number) =>
        control.progress(0, 0, 'sessions', `bringing both sides to one point, attempt ${number}`),
    });
  }

  async prepare(
    way: Way,
    plan: FollowPlan,
    since: string,
    long: LongTransactions,
    control: WorkControl,
  ): Promise<Passage> {
    await waitForLong(this.sides, way.from, long, control);
    await this.makeWayBack(way, plan, { control, wait: long.wait });
    return LivePassage.prepare({ sides: this.sides, run: this.run, way, since, long });
  }

  async position(side: Side): Promise<string> {
    const [row] = await (
      await this.sides.hand(side)
    ).query<{ xid: string }>('select pg_snapshot_xmax(pg_current_snapshot())::text as xid');
    return row!.xid;
  }

  async wayBack(way: Way, since: string | undefined): Promise<WayBack> {
    return { lag: await this.lag(way), ...(await readSpoilers(this.sides, way, since)) };
  }

  async #refuseMissing(way: Way, plan: FollowPlan): Promise<void> {
    const read = async (side: Side) =>
      new Map((await readTables(await this.sides.hand(side))).map((table) => [key(table.path), table]));
    const [here, there] = [await read(way.from), await read(way.to)];
    const missing = plan.tables.flatMap(({ path, columns }) => {
      const table = there.get(key(path));
      if (!table) return [quotePath(path)];
      return (columns ?? here.get(key(path))?.columns ?? [])
        .filter((column) => !table.columns.includes(column))
        .map((column) => quotePath([...path, column]));
    });
    if (missing.length === 0) return;
    throw new StepError(`green lacks what blue's changes need: ${missing.join(', ')}`, {
      hint: 'what the migrations drop must be said beforehand: expect: { dropped: [ … ] }; for what they rename see docs/live.md',
    });
  }
}
