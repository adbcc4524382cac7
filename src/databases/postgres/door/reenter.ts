import { StepError } from '../../../core/errors.ts';
import { quoteIdentifier } from '../../../util/sql.ts';
import type { Connection } from '../connection.ts';

interface Reentry {
  readonly admin: Connection;
  readonly name: string;
  /** Connects the run's reader. */
  readonly enter: () => Promise<unknown>;
  /** Closes the database to everybody but the reader, and ends what slipped in. */
  readonly close: () => Promise<void>;
}

/** What this function and `close` execute between the two looks: each ALTER DATABASE takes one transaction id. */
const OWN_TRANSACTIONS = 2n;

/**
 * Opens a closed database just long enough for the run's reader to get in; nobody gets into a closed one, the tool
 * neither. Says whether it is certain that nobody else wrote meanwhile: whoever writes takes a transaction id, and the
 * server counts them for all its databases together. On a server that is busy elsewhere the answer is therefore false
 * although nothing may have been written; it is never true when something was.
 */
export async function reenterClosed({ admin, name, enter, close }: Reentry): Promise<boolean> {
  const before = await nextTransaction(admin);
  await admin.query(`ALTER DATABASE ${quoteIdentifier(name)} WITH ALLOW_CONNECTIONS true`);
  try {
    await enter();
  } catch (cause) {
    await close();
    throw new StepError(`the tool could not get into ${name}, which is closed`, { cause });
  }
  await close();
  return (await nextTransaction(admin)) - before <= OWN_TRANSACTIONS;
}

async function nextTransaction(admin: Connection): Promise<bigint> {
  const [row] = await admin.query<{ xid: string }>(
    'select pg_snapshot_xmax(pg_current_snapshot())::text as xid',
  );
  return BigInt(row!.xid);
}
