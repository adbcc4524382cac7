import type { Step } from '../core/step.ts';
import { plural } from '../util/units.ts';

/** Runs one migrator on the copy. Its effects go with the copy. */
export const migrate: Step = {
  kind: 'migrate',
  async run(context) {
    const { index } = context.step.input as { index: number };
    const target = await context.database.migrationTarget('green');
    const lines = await context.migrators[index]!.apply(target, {
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
    const { index } = context.step.input as { index: number };
    if (!(await context.database.state('green'))) return 'absent';
    const status = await context.migrators[index]!.status(await context.database.migrationTarget('green'));
    if (!status) return 'unknown';
    return status.every(({ state }) => state === 'applied') ? 'done' : 'absent';
  },
  undo: () => Promise.resolve(undefined),
};
