import { codeOf, StepError } from '../../../../core/errors.ts';
import type { LongTransactions } from '../../../../core/playbook.ts';
import { quoteIdentifier } from '../../../../util/sql.ts';
import type { Connection } from '../../connection.ts';
import type { Found } from '../../copy/copy.ts';
import { describeSession, refusePrepared } from '../../door/fence.ts';
import { readSessions } from '../../facts/facts.ts';
import { pacing } from './pacing.ts';

export interface Shutting {
  /** Outside of the database, with a short lock_timeout. */
  readonly admin: Connection;
  readonly found: Found;
  /** The tool's own sessions in the database. */
  readonly own: readonly number[];
  readonly then: LongTransactions['then'];
  /** `performance.now()` at which clients must go on. */
  readonly deadline: number;
}

/**
 * Who is left, and is ended: the workers of the run's own replication go on, and autovacuum writes no rows. Those who
 * are in a transaction are ended only with $4; a prepared one is told as 0.
 */
const LEFT = `
select pid, case when pid > 0 and ($4 or not busy) then pg_terminate_backend(pid) end
from (select pid, xact_start is not null as busy from pg_stat_activity
      where datid = $1 and pid <> all($2::int[])
        and backend_type not in ('autovacuum worker', 'walsender') and backend_type not like 'logical replication%'
      union all select 0, true from pg_prepared_xacts where database = $3) s`;

/** The first time on a connection takes some milliseconds, which are better spent before the pause. */
export async function warmUp({ admin, found: { name } }: Pick<Shutting, 'admin' | 'found'>): Promise<void> {
  await admin.prepared(LEFT, [0, [], '', false]);
  await admin.query('BEGIN');
  // Somebody may be altering it right now: it is told when it matters.
  await forbid(admin, name).catch(() => undefined);
  await admin.query('ROLLBACK');
}

/**
 * The fence in the pause: nobody gets into the database any more, superusers neither, and everybody is out but the
 * tool and the workers of its own replication. Transactions have half of the time that is left; then they are ended,
 * or the pause runs out.
 */
export async function shut(shutting: Shutting): Promise<void> {
  const { admin, found, deadline } = shutting;
  const { oid, name } = found;
  await forbid(admin, name);
  // A backend that is just starting is in no list yet, but holds a lock on its database until it is.
  while (!(await barrier(shutting))) if (performance.now() > deadline) throw await overdue(shutting);
  const turn = pacing();
  const patient = performance.now() + (deadline - performance.now()) / 2;
  for (;;) {
    const gentle = performance.now() < patient || shutting.then === 'refuse';
    const left = await admin.prepared<{ pid: number }>(LEFT, [oid, shutting.own, name, !gentle]);
    if (left.length === 0) return;
    if (left.some(({ pid }) => pid === 0)) await refusePrepared(admin, name);
    if (performance.now() > deadline) throw await overdue(shutting);
    await turn();
  }
}

async function forbid(admin: Connection, name: string): Promise<void> {
  try {
    await admin.query(`ALTER DATABASE ${quoteIdentifier(name)} WITH ALLOW_CONNECTIONS false`);
  } catch (cause) {
    if (codeOf(cause) !== '55P03') throw cause;
    throw new StepError(`${name} could not be closed: somebody is altering it, and has not committed`, {
      cause,
      hint: 'see pg_stat_activity for an open transaction with ALTER DATABASE or GRANT … ON DATABASE; end it and run again',
    });
  }
}

/** Asks for the lock that conflicts with theirs, and changes nothing; says whether it was had. */
async function barrier({ admin, found: { name, tablespace } }: Shutting): Promise<boolean> {
  try {
    await admin.query(
      `ALTER DATABASE ${quoteIdentifier(name)} SET TABLESPACE ${quoteIdentifier(tablespace)}`,
    );
    return true;
  } catch (error) {
    if (codeOf(error) === '55P03') return false;
    // No right to create in the tablespace: noticed only after the lock was had, which is all that is wanted.
    if (codeOf(error) === '42501') return true;
    throw error;
  }
}

async function overdue({ admin, found: { oid, name }, own }: Shutting): Promise<StepError> {
  const sessions = await readSessions(admin, oid, own);
  return new StepError(`sessions on ${name} did not end within the pause`, {
    detail: sessions.map((session) => `  ${describeSession(session)}`).join('\n'),
    hint: 'see what they wait for; or give the pause more time: switch: { pause-budget: … }',
  });
}
