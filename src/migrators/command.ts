import { stat } from 'node:fs/promises';
import { stripVTControlCharacters } from 'node:util';
import { z } from 'zod';
import type { Driver } from '../core/drivers/driver.ts';
import { StepError } from '../core/errors.ts';
import type { MigrationTarget, Migrator, MigratorContext } from '../core/drivers/migrator.ts';
import { failureOf, run, shellLine, type ExecResult } from '../util/exec.ts';
import { duration, path, text } from '../util/options.ts';
import { addSecretsOfUrl, redact } from '../util/redact.ts';
import { formatDuration } from '../util/units.ts';

const options = z.strictObject({
  run: text().describe('Shell line that brings the database forward.'),
  variable: z
    .string()
    .regex(/^[A-Za-z_]\w*$/, 'must be the name of an environment variable')
    .default('DATABASE_URL')
    .describe('Environment variable that gets the connection string of the database to migrate.'),
  timeout: duration().prefault('10m').describe('Longest time for the shell line.'),
  status: text()
    .optional()
    .describe('Shell line that exits with 0 when nothing is pending; shown in the plan.'),
  directory: path()
    .optional()
    .describe("Folder that the shell line runs in; the playbook's folder otherwise."),
});

type Options = z.infer<typeof options>;

/** Any migration tool that reads its connection string from the environment. */
export const command: Driver<Options, MigratorContext, Migrator> = {
  name: 'command',
  summary: 'A shell line that runs the migration tool you have.',
  options,
  bare: false,
  paths: ['directory'],
  verbatim: ['run', 'status'],
  open: commandMigrator,
};

const TAIL_LINES = 20;

function commandMigrator(given: Options, context: MigratorContext): Migrator {
  const folder = given.directory ?? context.folder;
  const execute = async (
    line: string,
    target: MigrationTarget,
    extra: { signal?: AbortSignal; onLine?(line: string): void; env?: Record<string, string> } = {},
  ): Promise<ExecResult> => {
    addSecretsOfUrl(target.url);
    await requireFolder(folder);
    const { env, ...rest } = extra;
    return run(shellLine(line), {
      cwd: folder,
      env: { ...context.env, ...env, [given.variable]: target.url },
      timeout: given.timeout,
      ...rest,
    });
  };
  return {
    async plan(target) {
      const does = redact(given.run).trim().split('\n');
      if (given.status === undefined) return { does, files: [] };
      const { code, timedOut } = await execute(given.status, target, { env: readOnly(context.env) });
      const pending = code === 0 ? 'nothing is pending' : 'migrations are pending';
      const how = timedOut ? 'it was not done in time' : `exit code ${code ?? 'unknown'}`;
      does.push(`status: ${timedOut ? 'unknown' : pending} (${redact(given.status).trim()}: ${how})`);
      return code === 0 ? { does, files: [], pending: 0 } : { does, files: [] };
    },
    async status() {
      return undefined;
    },
    async apply(target, control) {
      control.signal.throwIfAborted();
      control.progress(0, 1, redact(given.run));
      const onLine = (line: string): void => {
        const clean = tidy(line);
        if (clean !== '') control.progress(0, 1, clean);
      };
      const result = await execute(given.run, target, { signal: control.signal, onLine });
      control.signal.throwIfAborted();
      const how = failureOf(result, given.timeout);
      if (how !== undefined) throw failure(given, folder, result, how);
      control.progress(1, 1);
      return [`${redact(given.run)}: ${formatDuration(result.ms)}`];
    },
  };
}

/** The status line runs on a database that the run must not change: libpq and node-postgres honour this. */
const readOnly = (env: Readonly<Record<string, string>>): Record<string, string> => ({
  PGOPTIONS: `${env['PGOPTIONS'] ?? ''} -c default_transaction_read_only=on`.trim(),
});

// A missing folder would be reported as a missing /bin/sh.
async function requireFolder(folder: string): Promise<void> {
  const info = await stat(folder).catch(() => undefined);
  if (info?.isDirectory()) return;
  throw new StepError(`there is no folder ${folder} to run the command in`, {
    where: folder,
    hint: 'correct `directory`; it is seen from the playbook',
  });
}

const tidy = (line: string): string => redact(stripVTControlCharacters(line)).trim();

function failure(given: Options, folder: string, result: ExecResult, how: string): StepError {
  const lines = redact(stripVTControlCharacters(result.output)).trimEnd().split('\n');
  const { code, timedOut } = result;
  const ended = timedOut ? `${how}, with everything that it had started` : how;
  const hints: Record<number, string> = {
    126: 'the shell found the command and may not execute it: see to its permissions',
    127: 'the shell did not find a command: write its path, or see to PATH',
  };
  const hint = timedOut ? 'raise timeout if it needs longer' : hints[code ?? 0];
  // No line to paste: typed without the variable it would go to wherever the tool finds by itself, and that is blue.
  const again = `to see it by itself, first set ${given.variable} to a copy that nobody needs; it ran in ${folder}`;
  const astray = /not currently accepting connections/.test(result.output)
    ? `it seems to have connected to blue, which is closed during a run: it must take its address from ${given.variable}`
    : undefined;
  return new StepError(`the migration command ${ended}: ${redact(given.run)}`, {
    where: redact(given.run),
    detail: lines.slice(-TAIL_LINES).join('\n') || undefined,
    hint: [astray, hint, again].filter((line) => line !== undefined).join('\n'),
  });
}
