import { messageOf } from '../../../core/errors.ts';
import type { LiveFacts } from '../../../core/database/live-facts.ts';
import type { Side } from '../../../core/side.ts';
import { withDatabase } from '../../../util/url.ts';
import type { Sides } from '../sides.ts';
import { back, wayTo } from './objects/names.ts';
import { probeStatement } from './objects/subscription.ts';

const DATABASE = 'postgres';

/** Lets each server connect to the other one as its subscription will, in a transaction that is rolled back. */
export async function readReach(sides: Sides): Promise<LiveFacts['unreachable']> {
  const forward = wayTo('green');
  const found = await Promise.all(
    [forward, back(forward)].map(async ({ from, to }) => ({
      from,
      to,
      problem: await problemOf(sides, from, to),
    })),
  );
  return found.flatMap(({ problem, ...way }) => (problem === undefined ? [] : [{ ...way, problem }]));
}

async function problemOf(sides: Sides, from: Side, to: Side): Promise<string | undefined> {
  const { address } = sides.server(from);
  const database = from === 'blue' ? (await sides.found('blue')).name : DATABASE;
  const url = new URL(withDatabase(address.url, database));
  url.searchParams.set('connect_timeout', String(Math.ceil(address.limits.connect / 1000)));
  const connection = await sides.server(to).connect(DATABASE);
  connection.limit = address.limits.connect * 2;
  try {
    await connection.query(`BEGIN; ${probeStatement(url.href)}; ROLLBACK`);
    return undefined;
  } catch (error) {
    return messageOf(error);
  } finally {
    await connection.end();
  }
}
