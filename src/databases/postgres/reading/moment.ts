import type { Connection } from '../connection.ts';

/** What a snapshot sees, and of which server: two that are equal see the same rows. */
export interface Moment {
  /** Of the exported snapshot. */
  readonly id: string;
  /** Undefined where it cannot be told. */
  readonly state: string | undefined;
}

/**
 * Which rows a snapshot sees is decided by which transactions had ended, and by nothing else: whoever writes takes a
 * transaction id, and with its end the snapshot's text is another one. Two things could give one text to two states,
 * and are in it too. A server that went down may have forgotten commits (`synchronous_commit = off`) and give their
 * ids once more: the postmaster and its checkpointer are others then. And a standby keeps what is under way elsewhere.
 */
const TAKE = `
select pg_export_snapshot() as id,
  case when not pg_is_in_recovery() then
    pg_current_snapshot()::text || ' ' || (select oid from pg_database where datname = current_database()) || ' '
      || extract(epoch from pg_postmaster_start_time()) || ' '
      || (select pid || ' ' || extract(epoch from backend_start) from pg_stat_activity where backend_type = 'checkpointer')
  end as state`;

/** Begins a transaction that sees the database as it is now, and keeps it open. */
export async function takeMoment(holder: Connection): Promise<Moment> {
  const [row] = await holder.query<{ id: string; state: string | null }>(
    `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${TAKE}`,
  );
  return { id: row!.id, state: row!.state ?? undefined };
}
