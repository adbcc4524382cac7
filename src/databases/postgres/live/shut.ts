import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, StepError } from '../../../core/errors.ts';
import type { SessionInfo } from '../../../core/facts.ts';
import type { LongTransactions } from '../../../core/playbook.ts';
import { quoteIdentifier } from '../../../util/sql.ts';
import type { Connection } from '../connection.ts';
import { describeSession, refusePrepared } from '../door/fence.ts';
import { readSessions } from '../facts/facts.ts';

const POLL_MS = 2;

export interface Shutting {
  /** Outside of the database, with a short lock_timeout. */
  readonly admin: Connection;
  readonly oid: number;
  readonly name: string;
  readonly tablespace: string;
  /** The tool's own sessions in the database. */
  readonly own: readonly number[];
  readonly then: LongTransactions['then'];
  /** `performance.now()` at which clients must go on. */
  readonly deadline: number;
}

/**
 * The fence in the pause: nobody gets into the database any more, superusers neither, and everybody is out but the
 * tool and the workers of its own replication. Transactions have half of the time that is left; then they are ended,
 * or the pause runs out.
 */
export async function shut(shutting: Shutting): Promise<void> {
  const { admin, oid, name, own, deadline } = shutting;
  await admin.query(`ALTER DATABASE ${quoteIdentifier(name)} WITH ALLOW_CONNECTIONS false`);
  const patient = performance.now() + (deadline - performance.now()) / 2;
  for (let passed = false; ; await sleep(POLL_MS)) {
    const sessions = (await readSessions(admin, oid, own)).filter(isClient);
    if (sessions.length === 0) {
      // A backend that is just starting is in no list yet, but holds a lock on its database until it is.
      if (passed) break;
      passed = await barrier(shutting);
      continue;
    }
    const busy = sessions.filter(({ transactionSeconds }) => transactionSeconds !== undefined);
    const ended =
      performance.now() < patient || shutting.then === 'refuse' ? without(sessions, busy) : sessions;
    for (const { pid } of ended) await admin.query('select pg_terminate_backend($1)', [pid]);
    if (performance.now() > deadline) throw overdue(name, sessions);
  }
  await refusePrepared(admin, name);
}

const without = (sessions: readonly SessionInfo[], busy: readonly SessionInfo[]): SessionInfo[] =>
  sessions.filter((session) => !busy.includes(session));

/** The workers of the run's own replication go on; autovacuum writes no rows. */
const isClient = ({ kind }: SessionInfo): boolean =>
  kind !== 'autovacuum worker' && kind !== 'walsender' && !kind.startsWith('logical replication');

async function barrier({ admin, name, tablespace }: Shutting): Promise<boolean> {
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

const overdue = (name: string, sessions: readonly SessionInfo[]): StepError =>
  new StepError(`sessions on ${name} did not end within the pause`, {
    detail: sessions.map((session) => `  ${describeSession(session)}`).join('\n'),
    hint: 'see what they wait for; or give the pause more time: switch: { pause-budget: … }',
  });
