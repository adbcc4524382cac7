import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkControl } from '../../../core/work.ts';
import type { SessionInfo } from '../../../core/database/facts.ts';
import { codeOf, StepError } from '../../../core/errors.ts';
import type { LongTransactions } from '../../../core/playbook.ts';
import { quoteIdentifier, quoteLiteral } from '../../../util/sql.ts';
import { formatDuration } from '../../../util/units.ts';
import type { Address } from '../address.ts';
import { cancellable } from '../cancellable.ts';
import type { Connection } from '../connection.ts';
import type { Found } from '../copy/copy.ts';
import { parseMark } from '../copy/mark.ts';
import { readSessions } from '../facts/facts.ts';

const POLL_MS = 20;
const END_MS = 30_000;
const BARRIER_MS = 500;

interface Closing {
  readonly admin: Connection;
  readonly address: Address;
  readonly oid: number;
  readonly name: string;
  /** It refuses connections already: altering it once more would look like somebody else's doing. */
  readonly closed: boolean;
  readonly ownPids: readonly number[];
  readonly long: LongTransactions;
  readonly control: WorkControl;
}

/**
 * Closes a database: refuses new connections, gives open transactions their time, ends all other sessions.
 * When it returns, nobody but the tool's own reader is connected and nobody can connect, superusers included.
 * When it throws, new connections may still be refused: the caller opens the database again.
 */
export async function closeDatabase(closing: Closing): Promise<void> {
  const { admin, oid, name } = closing;
  if (!closing.closed) {
    await cancellable(admin, closing.address, closing.control.signal, () =>
      admin
        .query(`ALTER DATABASE ${quoteIdentifier(name)} WITH ALLOW_CONNECTIONS false`)
        .catch((cause: unknown) => explainLock(admin, oid, name, cause)),
    );
  }
  const started = Date.now();
  for (let passed = false, quiet = 0; quiet < 2;) {
    closing.control.signal.throwIfAborted();
    const sessions = (await readSessions(admin, oid, closing.ownPids)).filter(mayWrite);
    const waited = Date.now() - started;
    const busy = sessions.filter(inTransaction);
    closing.control.progress(0, sessions.length, 'sessions', waitNote(sessions, busy));
    const patient = waited < closing.long.wait;
    if (busy.length > 0 && !patient && closing.long.then === 'refuse')
      throw longTransactions(name, busy, closing.long);
    for (const session of sessions) {
      if (!patient || !inTransaction(session)) await endSession(admin, session);
    }
    if (waited > closing.long.wait + END_MS) throw stubborn(name, sessions);
    if (sessions.length === 0 && !passed) passed = await barrier(closing);
    else quiet = sessions.length === 0 ? quiet + 1 : 0;
    await sleep(POLL_MS);
  }
  await refusePrepared(admin, name);
}

/** Who keeps a database from being altered. */
async function explainLock(admin: Connection, oid: number, name: string, cause: unknown): Promise<never> {
  if (codeOf(cause) !== '55P03') throw cause;
  const holders = await admin.query<{ pid: number; application: string; user: string; query: string }>(
    `select distinct a.pid, a.application_name as application, a.usename as user, left(a.query, 80) as query
     from pg_locks l join pg_stat_activity a on a.pid = l.pid
     where l.granted and a.pid <> pg_backend_pid() and l.mode <> 'AccessShareLock'
       and (l.relation = 'pg_database'::regclass or (l.classid = 'pg_database'::regclass and l.objid::int8 = $1))`,
    [oid],
  );
  throw new StepError(`a lock on database ${name} was not to be had in time`, {
    cause,
    detail: holders
      .map(
        ({ pid, application, user, query }) =>
          `  pid ${pid} app=${application || '-'} user=${user}: ${query}`,
      )
      .join('\n'),
    hint: 'wait until whoever holds it has finished, or end it: select pg_terminate_backend(PID)',
  });
}

// A backend that is just starting has passed the check for ALLOW_CONNECTIONS but is in no list yet. It holds a lock on
// its database until it is listed; this statement asks for the conflicting one, and otherwise changes nothing.
// Says whether the lock was had: somebody who holds it longer is asked for again, so that an abort is heard meanwhile.
async function barrier({ admin, name, address: { limits } }: Closing): Promise<boolean> {
  const [row] = await admin.query<{ tablespace: string }>(
    'select t.spcname as tablespace from pg_database d join pg_tablespace t on t.oid = d.dattablespace where d.datname = $1',
    [name],
  );
  try {
    await admin.query(`SET lock_timeout = ${BARRIER_MS}`);
    await admin.query(
      `ALTER DATABASE ${quoteIdentifier(name)} SET TABLESPACE ${quoteIdentifier(row!.tablespace)}`,
    );
    return true;
  } catch (error) {
    if (codeOf(error) === '55P03') return false;
    // No right to create in the tablespace: noticed only after the lock was had, which is all that is wanted.
    if (codeOf(error) === '42501') return true;
    throw error;
  } finally {
    if (!admin.lost) await admin.query(`SET lock_timeout = ${limits.lock}`);
  }
}

// Autovacuum comes and goes as it likes, writes no rows, and gives way to a clone or a rename by itself.
const mayWrite = (session: SessionInfo): boolean => session.kind !== 'autovacuum worker';

const inTransaction = (session: SessionInfo): boolean =>
  session.kind === 'client backend' && session.transactionSeconds !== undefined;

async function endSession(admin: Connection, session: SessionInfo): Promise<void> {
  try {
    await admin.query('select pg_terminate_backend($1)', [session.pid]);
  } catch (cause) {
    if (codeOf(cause) !== '42501') throw cause;
    throw new StepError(`the role may not end session ${describeSession(session)}`, {
      cause,
      hint: 'grant pg_signal_backend to the role; sessions of superusers can be ended by a superuser only',
    });
  }
}

export async function refusePrepared(admin: Connection, name: string): Promise<void> {
  const rows = await admin.query<{ gid: string }>(
    'select gid from pg_prepared_xacts where database = $1 order by 1',
    [name],
  );
  if (rows.length === 0) return;
  throw new StepError(
    `${rows.length} prepared transactions are open in ${name}: ${rows.map((row) => row.gid).join(', ')}`,
    {
      hint: rows
        .map((row) => `ROLLBACK PREPARED ${quoteLiteral(row.gid)};  -- or COMMIT PREPARED`)
        .join('\n'),
    },
  );
}

/** `pid 4711 app=gunicorn user=shop active for 12.0 s: update …` */
export function describeSession(session: SessionInfo): string {
  const age =
    session.transactionSeconds === undefined
      ? ''
      : ` for ${formatDuration(session.transactionSeconds * 1000)}`;
  const query = session.query.replaceAll(/\s+/g, ' ').slice(0, 80);
  return `pid ${session.pid} app=${session.application || '-'} user=${session.user || '-'} ${session.state || session.kind}${age}${query ? `: ${query}` : ''}`;
}

function waitNote(sessions: readonly SessionInfo[], busy: readonly SessionInfo[]): string {
  if (sessions.length === 0) return 'no sessions left';
  const first = busy[0];
  return first
    ? `waiting for ${busy.length} open transactions; ${describeSession(first)}`
    : `ending ${sessions.length} sessions`;
}

function longTransactions(name: string, busy: readonly SessionInfo[], long: LongTransactions): StepError {
  return new StepError(
    `${busy.length} transactions on ${name} were still open after ${formatDuration(long.wait)}`,
    {
      detail: busy.map((session) => `  ${describeSession(session)}`).join('\n'),
      hint: 'wait for them or end them, then run again; or let the tool end them: switch: { long-transactions: { wait: 10s, then: end } }',
    },
  );
}

function stubborn(name: string, sessions: readonly SessionInfo[]): StepError {
  if (sessions.length === 0) {
    return new StepError(`somebody holds a lock on the database ${name} itself and does not give it up`, {
      hint: `see who: select pid from pg_locks where locktype = 'object' and objid = (select oid from pg_database where datname = ${quoteLiteral(name)})`,
    });
  }
  return new StepError(`${sessions.length} sessions on ${name} did not end`, {
    detail: sessions.map((session) => `  ${describeSession(session)}`).join('\n'),
    hint: 'look at what they wait for in pg_stat_activity, and run again',
  });
}

/** Accepts connections again. What a run set aside or made is opened only by that run, which takes its mark away first. */
export async function openDatabase(admin: Connection, found: Found, own?: string): Promise<void> {
  const mark = parseMark(found.comment);
  if (mark && found.comment !== own) {
    throw new StepError(`database ${found.name} carries the mark of run ${mark.run} and is not opened`, {
      hint: `see what that run says: cutover status ${mark.run}`,
    });
  }
  await admin.query(`ALTER DATABASE ${quoteIdentifier(found.name)} WITH ALLOW_CONNECTIONS true`);
}
