import type { FollowPlan, Standing, Way } from '../../../core/database/live.ts';
import type { Side } from '../../../core/side.ts';
import type { WorkControl } from '../../../core/work.ts';
import { quoteIdentifier, quoteLiteral, quotePath } from '../../../util/sql.ts';
import { withDatabase } from '../../../util/url.ts';
import type { Connection } from '../connection.ts';
import { formatMark } from '../copy/mark.ts';
import type { Sides } from '../sides.ts';
import { unwatchStatements } from './objects/ddl.ts';
import { back, OWN_SCHEMA, wayName, wayTo } from './objects/names.ts';
import { skip, standingAt } from './objects/passing.ts';
import { inOne, inOneBriefly, publicationStatements } from './objects/publication.ts';
import { createSlot, dropSlot, type SlotOptions } from './objects/slot.ts';
import { fenceTables, limitStatement, unfenceTables } from './objects/standby.ts';
import { enable, findSubscription, subscribe, unsubscribe } from './objects/subscription.ts';
import { inBoth, readTables } from './objects/tables.ts';

export const FORWARD = wayTo('green');
const BACKWARD = wayTo('blue');

/** Who is live, who follows, and what is left of it: the ends of following, both ways. */
export class Turning {
  protected readonly sides: Sides;
  protected readonly run: string;

  constructor(sides: Sides, run: string) {
    this.sides = sides;
    this.run = run;
  }

  async setAside(way: Way): Promise<void> {
    const { name } = await this.sides.found(way.from);
    const mark = formatMark({ run: this.run, as: 'previous' });
    const admin = await this.sides.admin(way.from);
    await admin.query(`COMMENT ON DATABASE ${quoteIdentifier(name)} IS ${quoteLiteral(mark)}`);
  }

  async open(way: Way, plan: FollowPlan, comment: string | undefined, known?: string): Promise<void> {
    const name = known ?? (await this.sides.found(way.to)).name;
    const admin = await this.sides.admin(way.to);
    // One text is one transaction.
    await admin.query(
      `COMMENT ON DATABASE ${quoteIdentifier(name)} IS ${comment === undefined ? 'NULL' : quoteLiteral(comment)};
       ${limitStatement(name, plan.connectionLimit)}`,
    );
  }

  async reopen(way: Way): Promise<void> {
    const { name, open } = await this.sides.found(way.from);
    if (open) return;
    const admin = await this.sides.admin(way.from);
    await admin.query(`ALTER DATABASE ${quoteIdentifier(name)} WITH ALLOW_CONNECTIONS true`);
  }

  async stepBack(way: Way): Promise<void> {
    const to = await this.enter(way.to);
    await fenceTables(to);
    const { name } = await this.sides.found(way.to);
    await (await this.sides.admin(way.to)).query(limitStatement(name, 0));
    const forward = this.name(way);
    // A rename had stopped it.
    if ((await findSubscription(to, forward))?.enabled === false) await enable(to, forward);
    await this.#dropWayBack(way, to);
  }

  /** A slot that nobody reads from would keep the server's WAL without end. */
  async #dropWayBack(way: Way, to: Connection): Promise<void> {
    const name = this.name(back(way));
    await unsubscribe(await this.sides.hand(way.from), name);
    await dropSlot(await this.sides.admin(way.to), name);
    await inOne(to, [`DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`]);
  }

  async settle(way: Way): Promise<void> {
    await this.setAside(way);
    const [forward, backward] = [this.name(way), this.name(back(way))];
    // As long as both ways were open, what comes back would be sent there once more.
    await unsubscribe(await this.sides.hand(way.to), forward);
    await dropSlot(await this.sides.admin(way.from), forward);
    const from = await this.enter(way.from);
    await fenceTables(from);
    const { name } = await this.sides.found(way.from);
    await (await this.sides.admin(way.from)).query(limitStatement(name, 0));
    await inOne(from, [...unwatchStatements, `DROP PUBLICATION IF EXISTS ${quoteIdentifier(forward)}`]);
    // The name may have moved with the switch.
    await from.query(
      `ALTER SUBSCRIPTION ${quoteIdentifier(backward)} CONNECTION ${quoteLiteral(await this.url(way.to))}`,
    );
    await enable(from, backward);
  }

  async standing(way: Way, control: WorkControl): Promise<Standing | undefined> {
    const name = this.name(way);
    const [from, to] = [await this.sides.hand(way.from), await this.sides.hand(way.to)];
    return standingAt({ from, address: this.sides.server(way.from).address, to, name, control });
  }

  async passOver(way: Way, lsn: string, control: WorkControl): Promise<void> {
    await skip(await this.sides.hand(way.to), this.name(way), lsn, control);
  }

  async forget({ tables }: FollowPlan, stays: Side): Promise<boolean> {
    let any = false;
    const there = async (side: Side): Promise<boolean> => (await this.sides.find(side)) !== undefined;
    for (const way of [FORWARD, BACKWARD]) {
      if (await there(way.to)) any = (await unsubscribe(await this.enter(way.to), this.name(way))) || any;
      any = (await dropSlot(await this.sides.admin(way.from), this.name(way))) || any;
    }
    if (!(await there(stays))) return any;
    const hand = await this.enter(stays);
    any = (await hand.query('select from pg_namespace where nspname = $1', [OWN_SCHEMA])).length > 0 || any;
    await unfenceTables(hand);
    await inOneBriefly(hand, [
      ...[FORWARD, BACKWARD].map((way) => `DROP PUBLICATION IF EXISTS ${quoteIdentifier(this.name(way))}`),
      ...tables.flatMap(({ path, identity }) =>
        identity
          ? [`ALTER TABLE IF EXISTS ${quotePath(path)} REPLICA IDENTITY ${identity.toUpperCase()}`]
          : [],
      ),
      `DROP SCHEMA IF EXISTS ${OWN_SCHEMA} CASCADE`,
    ]);
    return any;
  }

  /** A hand into a side that may be closed to everybody; only superusers get in meanwhile. */
  protected async enter(side: Side): Promise<Connection> {
    const found = await this.sides.found(side);
    if (!found.open && !this.sides.isIn(side))
      await (await this.sides.admin(side)).query(limitStatement(found.name, 0));
    return this.sides.hand(side);
  }

  /** What was written on `to` will be kept for `from`: everything for the way back but the direction. */
  protected async makeWayBack(
    way: Way,
    plan: FollowPlan,
    waiting: Omit<SlotOptions, 'access'>,
  ): Promise<void> {
    const name = this.name(back(way));
    const [from, to] = [await this.sides.hand(way.from), await this.sides.hand(way.to)];
    const tables = inBoth(await readTables(to), await readTables(from), plan.tables);
    await inOne(to, publicationStatements(name, tables));
    // Of a process that died.
    await dropSlot(to, name);
    await createSlot(to, name, { ...waiting, access: this.sides.server(way.to) });
    await subscribe(from, name, await this.url(way.to));
  }

  protected async url(side: Side): Promise<string> {
    return withDatabase(this.sides.server(side).address.url, (await this.sides.found(side)).name);
  }

  protected name(way: Way): string {
    return wayName(this.run, way);
  }
}
