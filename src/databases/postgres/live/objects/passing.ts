import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, StepError } from '../../../../core/errors.ts';
import type { Standing } from '../../../../core/database/live.ts';
import type { WorkControl } from '../../../../core/work.ts';
import { displayPath, quoteIdentifier, quoteLiteral } from '../../../../util/sql.ts';
import { plural } from '../../../../util/units.ts';
import type { Address } from '../../address.ts';
import { cancellable } from '../../cancellable.ts';
import type { Connection } from '../../connection.ts';
import { endOfLog, saidSince } from '../pause/progress.ts';
import { findSubscription, originOf } from './subscription.ts';

/** A worker is started anew after five seconds at the latest; one that is away for longer tries nothing. */
const PATIENCE_MS = 20_000;
const POLL_MS = 50;
/** So often it fails while one looks, before one goes by that. */
const TIMES = 3;

/** In the publisher, and where that is; in the subscriber; and what both ends are called. */
interface Ends {
  readonly from: Connection;
  readonly address: Address;
  readonly to: Connection;
  readonly name: string;
  readonly control: WorkControl;
}

/** How far the subscriber is, and how often it has failed so far. */
interface Progress {
  readonly lsn: string | null;
  readonly failed: number;
  readonly running: boolean;
  /** It was told to pass over something, and has not come to it. */
  readonly skipping: boolean;
}

interface Part {
  /** The first letter of PostgreSQL's message: what kind of change it is. */
  readonly kind: string;
  readonly schema: string | null;
  readonly name: string | null;
  readonly count: number;
  /** What the message says of the transaction: its commit at its beginning, its end at its commit. */
  readonly lsn: string | null;
}

/**
 * The first transaction that the subscriber has not applied, once its log says that it failed at it, or, where that cannot
 * be read, once it has failed often enough; undefined when it fails at nothing, or at something else, such as its
 * connection. From 15 on: a server before that neither counts what fails nor passes over it.
 */
export async function standingAt(ends: Ends): Promise<Standing | undefined> {
  const { to, name } = ends;
  const before = await progressOf(ends);
  const standing = before && (await firstBehind(ends, before));
  const subscription = await findSubscription(to, name);
  if (!standing || !subscription) return undefined;
  const log = await endOfLog(to);
  let { failed } = before;
  for (let times = 0; times < TIMES; times += 1) {
    // Only a failure from now on is one of this transaction: somebody may have made room for it meanwhile.
    const now = await watching(ends, (progress) => progress.failed > failed || progress.lsn !== before.lsn);
    if (!now) throw notTrying(name);
    if (now.lsn !== before.lsn) return undefined;
    ({ failed } = now);
    if (log && (await saidSince(to, log, [originOf(subscription), standing.lsn]))) return standing;
  }
  return log ? undefined : standing;
}

/**
 * The server itself makes sure that it is this transaction, and no other one, which is not applied; where that was applied
 * meanwhile, nothing is passed over.
 */
export async function skip(to: Connection, name: string, lsn: string, control: WorkControl): Promise<void> {
  try {
    await to.query(`ALTER SUBSCRIPTION ${quoteIdentifier(name)} SKIP (lsn = ${quoteLiteral(lsn)})`);
  } catch (cause) {
    // It must be one that is still to come.
    if (codeOf(cause) === '22023' && after((await progressOf({ to, name }))?.lsn ?? null, lsn)) return;
    throw cause;
  }
  const behind = await watching(
    { to, name, control },
    ({ skipping, lsn: now }) => !skipping || after(now, lsn),
  );
  if (!behind) throw notTrying(name);
}

const notTrying = (name: string): StepError =>
  new StepError(`nobody tries to apply the changes: no worker of the subscription ${name} runs`, {
    hint: "see that it is enabled; the server's log says why its worker does not start",
  });

/** A position of the log is two numbers, in hexadecimal. */
const number = (lsn: string): bigint => {
  const [high, low] = lsn.split('/');
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
};

const after = (lsn: string | null, other: string): boolean => lsn !== null && number(lsn) > number(other);

/** Undefined when the subscription is gone. */
async function progressOf({ to, name }: Pick<Ends, 'to' | 'name'>): Promise<Progress | undefined> {
  const subscription = await findSubscription(to, name);
  if (!subscription) return undefined;
  const [row] = await to.query<Omit<Progress, 'running'>>(
    `select pg_replication_origin_progress($1, true)::text as lsn,
       coalesce((select apply_error_count from pg_stat_subscription_stats where subid = $2), 0)::int8::float8 as failed,
       (select subskiplsn <> '0/0' from pg_subscription where oid = $2) as skipping`,
    [originOf(subscription), subscription.oid],
  );
  return { ...row!, running: subscription.worker !== undefined };
}

/** Looks until it is so; undefined when nobody applies anything for a while, or the subscription is gone. */
async function watching(
  ends: Pick<Ends, 'to' | 'name' | 'control'>,
  so: (progress: Progress) => boolean,
): Promise<Progress | undefined> {
  const { signal } = ends.control;
  for (let idleSince = performance.now(); ;) {
    signal.throwIfAborted();
    const progress = await progressOf(ends);
    if (!progress || so(progress)) return progress;
    if (progress.running) idleSince = performance.now();
    if (performance.now() - idleSince > PATIENCE_MS) return undefined;
    await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Decoding ends where the first transaction does. */
const FIRST = `
with message as materialized (
  select chr(get_byte(data, 0)) as kind, substring(data for 18) as data
  from pg_logical_slot_peek_binary_changes($1, null, 1, 'proto_version', '1', 'publication_names', $2)
), part as (
  select kind,
    case kind when 'B' then encode(substring(data from 2 for 8), 'hex')
      when 'C' then encode(substring(data from 11 for 8), 'hex') end as lsn,
    case when kind in ('I', 'U', 'D') then ('x' || encode(substring(data from 2 for 4), 'hex'))::bit(32)::int8::oid end as relation
  from message
)
select p.kind, n.nspname as schema, c.relname as name, count(*)::float8 as count,
  max((left(p.lsn, 8) || '/' || right(p.lsn, 8))::pg_lsn)::text as lsn
from part p left join pg_class c on c.oid = p.relation left join pg_namespace n on n.oid = c.relnamespace
where p.kind in ('B', 'C', 'I', 'U', 'D', 'T')
group by 1, 2, 3 order by 2, 3, 1`;

const DONE: Readonly<Record<string, string>> = { I: 'inserted into', U: 'updated in', D: 'deleted from' };

const describe = ({ kind, schema, name, count }: Part): string =>
  kind === 'T'
    ? plural(count, 'TRUNCATE')
    : `${plural(count, 'row')} ${DONE[kind]} ${name === null ? 'a table that is gone' : displayPath([schema!, name])}`;

async function firstBehind(ends: Ends, { lsn: applied }: Progress): Promise<Standing | undefined> {
  const { from, address, name, control } = ends;
  // What is applied, and was not confirmed yet, would come first.
  for (let behind: string | null = applied; ;) {
    control.signal.throwIfAborted();
    const parts = await whenFree(ends, async () => {
      await from.query(
        `select pg_replication_slot_advance(slot_name, $2::pg_lsn) from pg_replication_slots
         where slot_name = $1 and confirmed_flush_lsn < $2::pg_lsn`,
        [name, behind],
      );
      return cancellable(from, address, control.signal, () =>
        from.query<Part>(FIRST, [name, quoteIdentifier(name)], { long: true }),
      );
    });
    if (!parts) return undefined;
    const at = (edge: string): string | null => parts.find(({ kind }) => kind === edge)?.lsn ?? null;
    const [lsn, end] = [at('B'), at('C')];
    if (!lsn || !end) return undefined;
    const changes = parts.filter(({ kind }) => kind !== 'B' && kind !== 'C').map(describe);
    if (changes.length > 0) return { lsn, changes };
    // 14 tells also of those that change nothing that is followed; none of them is what anybody fails at.
    behind = end;
  }
}

/** A worker that tries once more has the slot until it fails; undefined when it keeps it, and so fails at nothing. */
async function whenFree<T>({ control: { signal } }: Ends, work: () => Promise<T>): Promise<T | undefined> {
  for (const deadline = performance.now() + PATIENCE_MS; ;) {
    try {
      return await work();
    } catch (cause) {
      if (codeOf(cause) !== '55006') throw cause;
      if (performance.now() > deadline) return undefined;
    }
    await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
