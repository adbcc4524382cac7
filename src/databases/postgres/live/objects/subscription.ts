import { quoteIdentifier, quoteLiteral } from '../../../../util/sql.ts';
import type { Connection } from '../../connection.ts';

export interface Subscription {
  readonly oid: number;
  readonly enabled: boolean;
  /** The apply worker's session, when it runs. */
  readonly worker: number | undefined;
}

export async function findSubscription(
  connection: Connection,
  name: string,
): Promise<Subscription | undefined> {
  const [row] = await connection.query<{ oid: number; enabled: boolean; worker: number | null }>(
    `select s.oid::int8::float8 as oid, s.subenabled as enabled,
       (select w.pid from pg_stat_subscription w where w.subid = s.oid and w.relid is null and w.pid is not null limit 1) as worker
     from pg_subscription s where s.subname = $1
       and s.subdbid = (select oid from pg_database where datname = current_database())`,
    [name],
  );
  return row && { ...row, worker: row.worker ?? undefined };
}

/** The statement, with `connection` as it is given: secret, when it holds a password. */
export const subscribeStatement = (name: string, connection: string): string =>
  `CREATE SUBSCRIPTION ${quoteIdentifier(name)} CONNECTION ${quoteLiteral(connection)} PUBLICATION ${quoteIdentifier(name)} ` +
  `WITH (slot_name = ${quoteLiteral(name)}, create_slot = false, copy_data = false, enabled = false, streaming = off)`;

/** Connects to a publisher and makes nothing that outlives its transaction. */
export const probeStatement = (connection: string): string =>
  `CREATE SUBSCRIPTION cutover_probe CONNECTION ${quoteLiteral(connection)} PUBLICATION cutover_probe ` +
  `WITH (slot_name = NONE, create_slot = false, copy_data = false, enabled = false)`;

/** Names the subscriber's state of all that it gets from the publisher. */
export const originOf = ({ oid }: Subscription): string => `pg_${oid}`;

/** Made disabled, and without a first copy. Replaces one of this name. */
export async function subscribe(connection: Connection, name: string, publisher: string): Promise<void> {
  await unsubscribe(connection, name);
  await connection.query(subscribeStatement(name, publisher));
}

export const enable = (connection: Connection, name: string): Promise<unknown> =>
  connection.query(`ALTER SUBSCRIPTION ${quoteIdentifier(name)} ENABLE`);

/** Takes it away and leaves the slot alone; repeatable. */
export async function unsubscribe(connection: Connection, name: string): Promise<boolean> {
  const found = await findSubscription(connection, name);
  if (!found) return false;
  const subscription = quoteIdentifier(name);
  await connection.query(`ALTER SUBSCRIPTION ${subscription} DISABLE`);
  await connection.query(`ALTER SUBSCRIPTION ${subscription} SET (slot_name = NONE)`);
  await connection.query(`DROP SUBSCRIPTION ${subscription}`);
  return true;
}

/** The same for one that may have begun already, and is left alone then. */
export async function startAt(
  connection: Connection,
  subscription: Subscription,
  lsn: string,
): Promise<void> {
  const [row] = await connection.query<{ begun: boolean | null }>(
    'select pg_replication_origin_progress($1, false) >= $2::pg_lsn as begun',
    [originOf(subscription), lsn],
  );
  if (row?.begun !== true) await startFrom(connection, subscription, lsn);
}

/** Changes from this LSN of the publisher on; everything before is here already. Durable when it returns. */
export async function startFrom(
  connection: Connection,
  subscription: Subscription,
  lsn: string,
): Promise<void> {
  // Advancing alone is not flushed: the transaction id makes the commit a durable one.
  await connection.query('select pg_current_xact_id(), pg_replication_origin_advance($1, $2::pg_lsn)', [
    originOf(subscription),
    lsn,
  ]);
}
