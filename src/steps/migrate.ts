import { StepError } from '../core/errors.ts';
import type { MigrationFile } from '../core/drivers/migrator.ts';
import type { Step } from '../core/step.ts';
import { plural } from '../util/units.ts';

/** What the plan says of one migrator: which one it is, and the files as they were when it was planned. */
export interface MigrateInput {
  readonly index: number;
  readonly files: readonly MigrationFile[];
}

/** Runs one migrator on the copy. Its effects go with the copy. */
export const migrate: Step = {
  kind: 'migrate',
  async run(context) {
    const { index, files } = context.step.input as MigrateInput;
    const migrator = context.migrators[index]!;
    const target = await context.database.migrationTarget('green');
    refuseChanged(files, (await migrator.plan(target)).files);
    const lines = await migrator.apply(target, {
      signal: context.signal,
      progress: (done, total, note) => context.progress(done, total, 'migrations', note),
    });
    return {
      output: { applied: lines },
      summary:
        lines.length === 1
          ? lines[0]!
          : lines.length === 0
            ? 'nothing was pending'
            : plural(lines.length, 'migration'),
    };
  },
  async probe(context) {
    const { index } = context.step.input as MigrateInput;
    if (!(await context.database.state('green'))) return 'absent';
    const status = await context.migrators[index]!.status(await context.database.migrationTarget('green'));
    if (!status) return 'unknown';
    if (status.some(({ state }) => state !== 'applied' && state !== 'pending')) return 'unknown';
    return status.every(({ state }) => state === 'applied') ? 'done' : 'absent';
  },
  undo: () => Promise.resolve(undefined),
};

/** What is planned is what runs: a file that was edited since then stops the run. */
function refuseChanged(planned: readonly MigrationFile[], found: readonly MigrationFile[]): void {
  const before = new Map(planned.map(({ path, sha256 }) => [path, sha256]));
  const after = new Map(found.map(({ path, sha256 }) => [path, sha256]));
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
    (path) => before.get(path) !== after.get(path),
  );
  if (changed.length === 0) return;
  throw new StepError(`${plural(changed.length, 'migration file')} changed since the plan was made`, {
    detail: changed.map((path) => `  ${path}`).join('\n'),
    hint: 'run again: a new plan takes the files as they are now',
  });
}
