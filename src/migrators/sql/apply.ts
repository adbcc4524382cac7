import { plural, formatDuration } from '../../util/units.ts';
import { finishError, statementError } from './errors.ts';
import type { Migration, SqlFile } from './files.ts';
import { isTransactional } from './text/lint.ts';
import { freshen, restoreRole, runStatement, type Worker } from './session.ts';
import { recordStatus, recordVersion, settle, type RowStatus, type VersionTable } from './version-table.ts';

/** One file to run, there or back. */
export interface Job {
  /** As the version table writes it. */
  readonly version: string;
  readonly migration: Migration;
  readonly file: SqlFile;
  readonly direction: 'up' | 'down';
}

/** Runs a file and records it; says what it did in a line. Throws StepError at the statement that failed. */
export async function runJob(worker: Worker, table: VersionTable, job: Job): Promise<string> {
  await freshen(worker);
  const started = performance.now();
  if (isTransactional(job.file)) await inTransaction(worker, table, job);
  else await oneByOne(worker, table, job);
  const count = plural(job.file.script.statements.length, 'statement');
  return `${job.file.name}: ${count}, ${formatDuration(performance.now() - started)}`;
}

async function inTransaction(worker: Worker, table: VersionTable, job: Job): Promise<void> {
  const { session } = worker;
  const after = `nothing of ${job.file.name} stays in the database: mend it, then run again`;
  const started = performance.now();
  await session.query('begin');
  try {
    await runAll(worker, job, after);
    await atEnd(job, 'its version could not be recorded', after, async () => {
      await restoreRole(session, worker.role);
      await record(worker, table, job, job.direction === 'up' ? 'applied' : 'rolled back', started);
    });
  } catch (error) {
    // On a broken connection the server has done it already.
    await session.query('rollback').catch(() => undefined);
    throw error;
  }
  await atEnd(job, 'at COMMIT', `${after}\n${table.display} says whether it is applied`, () =>
    session.query('commit'),
  );
}

async function oneByOne(worker: Worker, table: VersionTable, job: Job): Promise<void> {
  const { session } = worker;
  const started = performance.now();
  const after =
    'the file runs without a transaction: the statements before this one stay. ' +
    `Look what is there, then settle it.\n${settle(table, job.version)}`;
  await record(worker, table, job, 'started', started);
  try {
    await runAll(worker, job, after);
    await atEnd(job, 'its version could not be recorded', after, async () => {
      await freshen(worker);
      await record(worker, table, job, job.direction === 'up' ? 'applied' : 'rolled back', started);
    });
  } catch (error) {
    // The row says "started" when this cannot be written any more, which means the same to the next run.
    await session.query('rollback').catch(() => undefined);
    await freshen(worker)
      .then(() => record(worker, table, job, 'failed', started))
      .catch(() => undefined);
    throw error;
  }
}

async function runAll(worker: Worker, job: Job, after: string): Promise<void> {
  for (const statement of job.file.script.statements) {
    worker.signal.throwIfAborted();
    try {
      await runStatement(worker, statement.text);
    } catch (error) {
      worker.signal.throwIfAborted();
      throw statementError(job.file, statement, error, after);
    }
  }
  worker.signal.throwIfAborted();
}

async function atEnd(job: Job, doing: string, after: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw finishError(job.file, doing, error, after);
  }
}

async function record(
  { session }: Worker,
  table: VersionTable,
  { version, migration, direction }: Job,
  status: RowStatus,
  started: number,
): Promise<void> {
  if (direction === 'down') return recordStatus(session, table, version, status);
  const { description, up } = migration;
  const ms = performance.now() - started;
  return recordVersion(session, table, { version, description, checksum: up.sha256, status, ms });
}
