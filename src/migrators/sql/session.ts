import type { MigrationTarget, SqlSession } from '../../core/drivers/migrator.ts';

/** The session that migrations run in, and what it takes to begin each file in the same state. */
export interface Worker {
  readonly session: SqlSession;
  readonly target: MigrationTarget;
  readonly pid: number;
  readonly signal: AbortSignal;
  /** `SET ROLE` of the session as it was opened; `none` for its own role. */
  readonly role: string;
  readonly settings: Settings;
}

/** Limits of the session in milliseconds; undefined leaves what the database sets. */
export interface Settings {
  readonly statementTimeout: number | undefined;
  readonly lockTimeout: number | undefined;
}

/** Opens a session for migrations, and ends it in any case. */
export async function withWorker<T>(
  target: MigrationTarget,
  signal: AbortSignal,
  settings: Settings,
  work: (worker: Worker) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const session = await target.session();
  try {
    const [own] = await session.query<{ pid: string; role: string }>(
      "select pg_catalog.pg_backend_pid()::text as pid, pg_catalog.current_setting('role') as role",
    );
    const worker = { session, target, signal, settings, pid: Number(own?.pid), role: own?.role ?? 'none' };
    await freshen(worker);
    return await work(worker);
  } finally {
    await session.end().catch(() => undefined);
  }
}

/**
 * Puts the session into the state that the database gives a new one: its own search_path, role and settings, no
 * temporary tables. It is DISCARD ALL but for the advisory lock, which has to stay.
 */
export async function freshen({ session, role, settings }: Worker): Promise<void> {
  const timeouts = [
    ...(settings.statementTimeout === undefined
      ? []
      : [`set statement_timeout = ${settings.statementTimeout}`]),
    ...(settings.lockTimeout === undefined ? [] : [`set lock_timeout = ${settings.lockTimeout}`]),
  ];
  const statements = [
    'reset session authorization',
    'reset all',
    'close all',
    'deallocate all',
    'unlisten *',
    'discard temp',
    'discard sequences',
    "set application_name = 'cutover migrate'",
    // The splitter reads strings this way; a database that is set otherwise would see other statements.
    'set standard_conforming_strings = on',
    ...timeouts,
  ];
  await session.query(statements.join('; '));
  await restoreRole(session, role);
}

/** For our own statements behind a file's, which may have left another role behind. */
export async function restoreRole(session: SqlSession, role: string): Promise<void> {
  await session.query('reset session authorization');
  await session.query("select pg_catalog.set_config('role', $1, false)", [role]);
}

/** How long a statement may go on after it was asked to end. */
const GRACE_MS = 5000;

/** Runs one statement; an abort cancels it on the server, and throws the signal's reason. */
export async function runStatement(worker: Worker, sql: string): Promise<void> {
  const { session, signal } = worker;
  signal.throwIfAborted();
  let cancelled: Promise<void> | undefined;
  let over: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    cancelled = cancel(worker).finally(() => {
      over = setTimeout(
        () => session.destroy('the server did not end the statement when it was asked to'),
        GRACE_MS,
      );
    });
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await session.query(sql);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    // A cancel request that is still on its way would hit the statement after this one.
    await cancelled;
    clearTimeout(over);
  }
}

async function cancel({ target, pid }: Worker): Promise<void> {
  try {
    const session = await target.session();
    try {
      await session.query('select pg_catalog.pg_cancel_backend($1::int)', [pid]);
    } finally {
      await session.end();
    }
  } catch {
    // Then the statement goes on to its own end, and the abort is honoured behind it.
  }
}
