import { StepError } from '../../core/errors.ts';
import type {
  MigrationControl,
  MigrationFile,
  MigrationTarget,
  Migrator,
  RevertGoal,
} from '../../core/drivers/migrator.ts';
import { formatCount, plural } from '../../util/units.ts';
import { runJob, type Job } from './apply.ts';
import { readFolder, type Migration, type SqlFile } from './files.ts';
import { isTransactional, lint } from './text/lint.ts';
import { lockMigrations } from './lock.ts';
import { refuse, type Moment } from './mistakes.ts';
import { withWorker, type Settings, type Worker } from './session.ts';
import { firstLine } from './text/source.ts';
import { compare, contradictions, isApplied, pendingOf, statusOf, type Entry } from './state.ts';
import { createVersionTable, readVersions, type VersionRow, type VersionTable } from './version-table.ts';
import { compareVersions, isVersion } from './version.ts';

export interface SqlMigratorOptions {
  readonly directory: string;
  readonly table: VersionTable;
  /** Milliseconds. */
  readonly lockWait: number;
  readonly settings: Settings;
}

/** The migrator behind the `sql` driver. */
export function sqlMigrator(options: SqlMigratorOptions): Migrator & Required<Pick<Migrator, 'revert'>> {
  const { directory, table } = options;
  return {
    repeatable: true,
    bookkeeping: [[table.schema, table.name]],
    async plan(target) {
      const migrations = await filesOf(directory, 'plan');
      const entries = compare(migrations, await look(target, table));
      refuse(contradictions(entries, table, directory, 'up'), 'state', 'plan');
      const pending = pendingOf(entries).map(({ migration }) => migration);
      refuse(pending.flatMap(bothWays).flatMap(lint), 'files', 'plan');
      return {
        does: describe(pending, migrations.length),
        files: fingerprints(migrations),
        pending: pending.length,
      };
    },
    async status(target) {
      return compare(await filesOf(directory, 'plan'), await look(target, table)).map(statusOf);
    },
    async apply(target, control) {
      const migrations = await filesOf(directory, 'apply');
      return locked(options, target, control, async (worker) => {
        const entries = compare(migrations, await readVersions(worker.session, table));
        refuse(contradictions(entries, table, directory, 'up'), 'state', 'apply');
        const pending = pendingOf(entries);
        refuse(pending.flatMap(({ migration }) => bothWays(migration)).flatMap(lint), 'files', 'apply');
        const jobs = pending.map(({ version, migration }): Job => {
          return { version, migration, file: migration.up, direction: 'up' };
        });
        return runJobs(worker, table, jobs, control);
      });
    },
    async revert(target, goal, control) {
      const migrations = await filesOf(directory, 'apply');
      return locked(options, target, control, async (worker) => {
        const entries = compare(migrations, await readVersions(worker.session, table));
        const chosen = chooseToRevert(entries, goal);
        const halfway = entries.filter(({ row }) => row?.status === 'started' || row?.status === 'failed');
        refuse(contradictions([...halfway, ...chosen], table, directory, 'down'), 'state', 'apply');
        const jobs = jobsDown(chosen);
        refuse(
          jobs.flatMap(({ file }) => lint(file)),
          'files',
          'apply',
        );
        return runJobs(worker, table, jobs, control);
      });
    },
  };
}

async function filesOf(directory: string, moment: Moment): Promise<readonly Migration[]> {
  const { migrations, mistakes } = await readFolder(directory);
  refuse(mistakes, 'files', moment);
  return migrations;
}

/** Reads the version table in a transaction that cannot write. */
async function look(target: MigrationTarget, table: VersionTable): Promise<VersionRow[]> {
  const session = await target.session();
  try {
    await session.query('begin read only');
    const rows = await readVersions(session, table);
    await session.query('rollback');
    return rows;
  } finally {
    await session.end().catch(() => undefined);
  }
}

const bothWays = ({ up, down }: Migration): SqlFile[] => (down ? [up, down] : [up]);

const fingerprints = (migrations: readonly Migration[]): MigrationFile[] =>
  migrations.flatMap(bothWays).map(({ path, sha256 }) => ({ path, sha256 }));

/** A file of data would fill the plan; its checksum says the rest. */
const STATEMENTS_SHOWN = 50;

function describe(pending: readonly Migration[], total: number): string[] {
  if (pending.length === 0) return [`nothing is pending: ${plural(total, 'migration')} applied`];
  return pending.flatMap(({ up }) => {
    const { statements } = up.script;
    const how = isTransactional(up) ? 'in one transaction' : 'without a transaction';
    return [
      `${up.name}: ${plural(statements.length, 'statement')}, ${how}`,
      ...statements.slice(0, STATEMENTS_SHOWN).map(({ text }) => `  ${firstLine(text)}`),
      ...(statements.length > STATEMENTS_SHOWN
        ? [`  … and ${formatCount(statements.length - STATEMENTS_SHOWN)} more`]
        : []),
    ];
  });
}

/** Works with the lock held and the version table there; the session's end gives the lock back. */
function locked<T>(
  { table, lockWait, settings }: SqlMigratorOptions,
  target: MigrationTarget,
  control: MigrationControl,
  work: (worker: Worker) => Promise<T>,
): Promise<T> {
  return withWorker(target, control.signal, settings, async (worker) => {
    await lockMigrations(worker, table, lockWait);
    await createVersionTable(worker.session, table);
    return work(worker);
  });
}

async function runJobs(
  worker: Worker,
  table: VersionTable,
  jobs: readonly Job[],
  control: MigrationControl,
): Promise<string[]> {
  const lines: string[] = [];
  for (const [done, job] of jobs.entries()) {
    control.signal.throwIfAborted();
    control.progress(done, jobs.length, job.file.name);
    lines.push(await runJob(worker, table, job));
    control.progress(done + 1, jobs.length, job.file.name);
  }
  return lines;
}

/** The applied versions to take back, newest first. */
function chooseToRevert(entries: readonly Entry[], goal: RevertGoal): Entry[] {
  const applied = entries.filter(isApplied).toReversed();
  if ('steps' in goal) return applied.slice(0, goal.steps);
  const { to } = goal;
  const known = isVersion(to) && (compareVersions(to, '0') === 0 || applied.some((entry) => same(entry, to)));
  if (!known) {
    throw new StepError(`version ${to} is not applied, so there is no way back to it`, {
      hint: `applied are ${
        applied
          .map((entry) => entry.version)
          .toReversed()
          .join(', ') || 'none'
      }; 0 takes all of them back`,
    });
  }
  return applied.filter((entry) => compareVersions(entry.version, to) > 0);
}

const same = (entry: Entry, version: string): boolean => compareVersions(entry.version, version) === 0;

function jobsDown(chosen: readonly Entry[]): Job[] {
  const mistakes = chosen.flatMap(({ migration }) =>
    migration && !migration.down
      ? [
          {
            path: migration.up.path,
            name: migration.up.name,
            message: 'has no way back',
            hint: `write ${migration.up.name.replace(/\.sql$/, '.down.sql')} beside it; nothing was taken back`,
          },
        ]
      : [],
  );
  refuse(mistakes, 'files', 'apply');
  return chosen.flatMap(({ version, migration }): Job[] =>
    migration?.down ? [{ version, migration, file: migration.down, direction: 'down' }] : [],
  );
}
