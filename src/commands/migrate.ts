import { EXIT, UsageError, type ExitCode } from '../core/errors.ts';
import type { MigrationControl, MigrationStatus, MigrationTarget } from '../core/drivers/migrator.ts';
import { addressOf } from '../databases/postgres/address.ts';
import { Connection } from '../databases/postgres/connection.ts';
import { sql } from '../migrators/sql.ts';
import { databaseOf } from '../util/url.ts';
import { formatDuration } from '../util/units.ts';
import { progressText } from '../run/screen/phrases.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { withSignals } from './running/signals.ts';
import { surroundingsOf } from './shared/surroundings.ts';

type MigrateOptions = Options<{
  directory?: string;
  variable?: string;
  table?: string;
  steps?: string;
  to?: string;
  json?: true;
}>;

const ACTIONS = ['status', 'up', 'down'] as const;

/** The sql migrator on its own, on any database. The connection string comes from the environment, never from an argument. */
export async function run(
  [action]: readonly (string | undefined)[],
  options: MigrateOptions,
  io: CommandIo,
): Promise<ExitCode> {
  if (!ACTIONS.some((each) => each === action)) {
    throw new UsageError(`there is no cutover migrate ${action}`, { hint: 'write status, up or down' });
  }
  const around = await surroundingsOf(options);
  const migrator = openMigrator(options, around);
  const target = targetOf(options.variable ?? 'DATABASE_URL', around.variables);
  return withSignals(io.err, async (signal) => {
    const control: MigrationControl = {
      signal,
      progress: (done, total, note) =>
        io.err(progressText({ done, total, unit: 'migrations', ...(note === undefined ? {} : { note }) }, 0)),
    };
    switch (action as (typeof ACTIONS)[number]) {
      case 'status':
        printStatus((await migrator.status(target)) ?? [], options, io);
        break;
      case 'up':
        // Mistakes in the folder are said, with the right exit code, before anything is executed.
        await migrator.plan(target);
        printLines(
          await migrator.apply(target, control),
          `nothing is pending in ${target.name}`,
          options,
          io,
        );
        break;
      case 'down':
        printLines(
          await migrator.revert!(target, goalOf(options), control),
          'nothing to take back',
          options,
          io,
        );
        break;
    }
    return EXIT.done;
  });
}

function openMigrator(options: MigrateOptions, around: Awaited<ReturnType<typeof surroundingsOf>>) {
  const given = sql.options.safeParse({
    directory: options.directory,
    ...(options.table === undefined ? {} : { table: options.table }),
  });
  if (options.directory === undefined || !given.success) {
    const wrong =
      options.directory === undefined
        ? 'the folder with the migrations is missing'
        : given.error!.issues[0]!.message;
    throw new UsageError(wrong, { hint: `cutover migrate up --directory migrations` });
  }
  return sql.open(given.data, { folder: process.cwd(), env: around.variables, resolve: around.resolve });
}

function targetOf(variable: string, variables: Readonly<Record<string, string>>): MigrationTarget {
  const url = variables[variable];
  const name = url === undefined ? undefined : databaseOf(url);
  if (url === undefined || name === undefined) {
    throw new UsageError(url === undefined ? `${variable} is not set` : `${variable} names no database`, {
      hint: `${variable}=postgresql://user@host/database in the environment or a file given with --env-file; or another variable: --variable NAME`,
    });
  }
  const address = addressOf(url, 'cutover migrate');
  return { url: address.given, name, session: () => Connection.open(address, name) };
}

function goalOf({ steps, to }: MigrateOptions): { steps: number } | { to: string } {
  if (steps !== undefined && to !== undefined) throw new UsageError('give --steps or --to, not both');
  if (to !== undefined) return { to };
  const count = Number(steps ?? '1');
  if (!Number.isSafeInteger(count) || count < 1)
    throw new UsageError(`--steps ${steps} is not a number of migrations`);
  return { steps: count };
}

function printStatus(rows: readonly MigrationStatus[], options: MigrateOptions, io: CommandIo): void {
  if (options.json) return io.out(JSON.stringify(rows, null, 2));
  for (const { version, description, state, appliedAt, ms } of rows) {
    const when =
      appliedAt === undefined ? '' : `  ${appliedAt}${ms === undefined ? '' : ` in ${formatDuration(ms)}`}`;
    io.out(`${state.padEnd(12)} ${version.padEnd(6)} ${description}${when}`);
  }
}

function printLines(lines: readonly string[], nothing: string, options: MigrateOptions, io: CommandIo): void {
  if (options.json) io.out(JSON.stringify(lines, null, 2));
  else io.out(lines.length === 0 ? nothing : lines.join('\n'));
}
