import type { Lag } from '../../../../core/database/live.ts';
import { StepError } from '../../../../core/errors.ts';
import type { Connection } from '../../connection.ts';
import { MARKER } from '../objects/names.ts';
import { pacing } from './pacing.ts';
import { findSubscription, originOf, type Subscription } from '../objects/subscription.ts';

/** Writes a marker on the side that is followed; gives a position before it and behind everything committed so far. */
export async function mark(from: Connection, side: string): Promise<string> {
  const [row] = await from.prepared<{ lsn: string }>(
    `with here as materialized (select pg_current_wal_insert_lsn() as lsn)
     update ${MARKER} set tick = tick + 1 where side = $1 and (select lsn from here) is not null
     returning (select lsn::text from here) as lsn`,
    [side],
  );
  if (!row) throw new StepError(`the marker table ${MARKER} is not as it was made; has somebody changed it?`);
  return row.lsn;
}

/** Behind everything that was written so far, flushed or not. */
export async function readPosition(connection: Connection): Promise<string> {
  const [row] = await connection.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
  return row!.lsn;
}

/**
 * Waits until a follower has applied, and flushed to its own disk, everything up to a position; gives a position of the
 * follower's own behind all that, or undefined when the time is over. What was sent is no proof, and neither is a
 * difference of zero: only the origin's own progress is.
 */
export async function arrived(
  to: Connection,
  subscription: Subscription,
  lsn: string,
  deadline: number,
): Promise<string | undefined> {
  const turn = pacing();
  for (;;) {
    const [row] = await to.prepared<{ here: string | null }>(
      `with o as materialized (select pg_replication_origin_progress($1, true) as there)
       select case when o.there > $2::pg_lsn then pg_current_wal_insert_lsn() end::text as here from o`,
      [originOf(subscription), lsn],
    );
    if (row?.here) return row.here;
    if (performance.now() > deadline) return undefined;
    await turn();
  }
}

/** Bytes that the slot has not been told to be through, and whether anybody works on them. */
export async function readLag(
  from: Connection,
  to: Connection,
  name: string,
): Promise<Lag & { subscription: Subscription | undefined }> {
  const [row] = await from.query<{ bytes: number | null; lost: boolean }>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), confirmed_flush_lsn)::float8 as bytes, wal_status = 'lost' as lost
     from pg_replication_slots where slot_name = $1`,
    [name],
  );
  const subscription = await findSubscription(to, name);
  const error = !row
    ? `the replication slot ${name} is gone`
    : row.lost
      ? `the server threw away what the replication slot ${name} needs (max_slot_wal_keep_size)`
      : !subscription
        ? `the subscription ${name} is gone`
        : undefined;
  return {
    bytes: row?.bytes ?? 0,
    running: subscription?.worker !== undefined,
    worker: subscription?.worker,
    error,
    subscription,
  };
}

/** How often a follower's worker has failed so far; undefined where the server does not count (14). */
export async function failures(to: Connection, { oid }: Subscription): Promise<number | undefined> {
  const [there] = await to.query<{ there: boolean }>(
    `select to_regclass('pg_catalog.pg_stat_subscription_stats') is not null as there`,
  );
  if (!there?.there) return undefined;
  const [row] = await to.query<{ count: number }>(
    'select apply_error_count::int8::float8 as count from pg_stat_subscription_stats where subid = $1',
    [oid],
  );
  return row?.count ?? 0;
}

const LOG_BYTES = 256 * 1024;
/** As much as servers write in a few seconds, and more. */
const MOST_LOG_BYTES = 16_000_000;

/** The last error of an apply worker in the server's log, where it can be read from here. */
export async function lastError(to: Connection, names: readonly string[]): Promise<string | undefined> {
  try {
    const [row] = await to.query<{ text: string | null }>(
      `select pg_read_file(file, greatest((pg_stat_file(file)).size - $1, 0), $1) as text
       from (select pg_current_logfile() as file) f where file is not null`,
      [LOG_BYTES],
    );
    return errorIn(row?.text ?? '', names);
  } catch {
    // No right to read files, or none is written: the error stays in the server's own log.
    return undefined;
  }
}

/** `ERROR: …` with its DETAIL and CONTEXT: the latest one that says one of the names, subscription's or origin's. */
export function errorIn(log: string, names: readonly string[]): string | undefined {
  const lines = log.split('\n');
  const starts = lines.flatMap((line, index) => (/\bERROR:/.test(line) ? [index] : []));
  for (const start of starts.toReversed()) {
    const record = lines.slice(start, start + 6);
    // 14 does not say whose changes they were.
    const ours = (line: string): boolean =>
      line.includes('processing remote data during') || names.some((name) => line.includes(`"${name}"`));
    if (!record.some(ours)) continue;
    const context = record.findIndex((line) => line.includes('processing remote data'));
    return record
      .slice(0, (context < 0 ? 0 : context) + 1)
      .map((line) => line.replace(/^.*?\b(ERROR|DETAIL|CONTEXT|HINT|STATEMENT): +/, '$1: '))
      .join('\n');
  }
  return undefined;
}

/** A place in the server's log. */
interface LogPlace {
  readonly file: string;
  readonly size: number;
}

/** Where the log ends now; undefined where it cannot be read, or is not to say what a worker failed at. */
export async function endOfLog(on: Connection): Promise<LogPlace | undefined> {
  const rows = await on
    .query<{ file: string; size: number }>(
      `select file, (pg_stat_file(file)).size::float8 as size from (select pg_current_logfile() as file) f
       where file is not null and current_setting('log_error_verbosity') <> 'terse'
         and current_setting('log_min_messages') not in ('log', 'fatal', 'panic')`,
    )
    .catch(() => []);
  return rows[0];
}

/** Whether one line since then has all of these words, in whatever language and format the log is. */
export async function saidSince(
  on: Connection,
  { file, size }: LogPlace,
  words: readonly string[],
): Promise<boolean> {
  const rows = await on
    .query<{ said: boolean }>(
      `select exists (
         select from pg_current_logfile() as now, string_to_table(
           pg_read_file(now, greatest(case now when $1 then $2::int8 else 0 end, (pg_stat_file(now)).size - $3::int8), $3::int8),
           e'\\n') as line
         where (select bool_and(position(word in line) > 0) from unnest($4::text[]) as word)) as said`,
      [file, size, MOST_LOG_BYTES, words],
    )
    .catch(() => []);
  return rows[0]?.said === true;
}
