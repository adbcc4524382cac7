import type { Catalog } from '../core/catalog.ts';
import type { CheckContext, Finding } from '../core/check.ts';
import type { Baseline } from '../core/database.ts';
import { DifferencesError } from '../core/errors.ts';
import type { Step, StepContext } from '../core/step.ts';
import { displayPath } from '../util/sql.ts';
import { plural } from '../util/units.ts';
import { controlOf } from './shared/control.ts';
import { assertUntouched, closedSides, type Closed, type FenceOutput } from './shared/proof.ts';

export interface VerifyOutput {
  readonly baseline: Baseline;
  readonly closed: Closed;
}

/**
 * Checks that need to connect to green by themselves come first; then green is closed like blue, so that nothing that
 * the other checks prove can change until the switch.
 */
export const verify: Step = {
  kind: 'verify',
  async run(context) {
    const findings: Finding[] = [];
    // An attempt before this one had closed it.
    if ((await context.database.state('green'))?.closed) await context.database.open('green', 'copy');
    await runChecks(context, 'green-open', findings);
    await context.database.close('green', { wait: 0, then: 'end' }, controlOf(context));
    const closed = await proofBegins(context);
    await runChecks(context, 'closed', findings);
    await assertUntouched(context, closed);
    const failures = findings.filter(({ severity }) => severity === 'failure' || severity === 'unknown');
    if (failures.length > 0) {
      throw new DifferencesError(`verification found ${plural(failures.length, 'problem')}`, findings, {
        hint: 'mend the migrations, or name in the playbook what is meant to differ; then run again',
      });
    }
    const books = booksOf(context);
    if (books.length > 0) {
      const message = `rows not compared: ${books.join(', ')}, where the migrators keep their versions`;
      findings.push({ check: 'verify', severity: 'note', message });
    }
    const output: VerifyOutput = { baseline: await context.database.baseline('green'), closed };
    return { output, findings, summary: summaryOf(findings) };
  },
  // Proof is made anew rather than trusted.
  probe: () => Promise.resolve('absent'),
  undo: () => Promise.resolve(undefined),
};

/** Both sides as they are closed now; blue must not have been opened since it was cloned. */
async function proofBegins(context: StepContext): Promise<Closed> {
  const { blue, green } = await closedSides(context);
  const { version } = context.outputOf('fence') as FenceOutput;
  const closed = { blue: blue.version, green: green.version };
  await assertUntouched(context, { ...closed, blue: version });
  return closed;
}

async function runChecks(
  context: StepContext,
  when: 'green-open' | 'closed',
  findings: Finding[],
): Promise<void> {
  const checks = context.checks.filter(({ check }) => check.when === when);
  if (checks.length === 0) return;
  const shared = await checkContext(context);
  for (const { name, check } of checks) {
    context.signal.throwIfAborted();
    const progress: CheckContext['progress'] = (done, total, note) =>
      context.progress(done, total, 'rows', note ? `${name}: ${note}` : name);
    progress(0, 0);
    findings.push(...(await check.run({ ...shared, progress })));
  }
}

/** Tables whose rows change with every migration, by name. */
const booksOf = (context: StepContext): string[] =>
  context.migrators.flatMap(({ bookkeeping }) => (bookkeeping ?? []).map(displayPath));

async function checkContext(context: StepContext): Promise<Omit<CheckContext, 'progress'>> {
  const { database } = context;
  const [blue, green] = [await database.reader('blue'), await database.reader('green')];
  const books = booksOf(context);
  const rowsOf = (catalog: Catalog): Catalog => ({
    ...catalog,
    tables: catalog.tables.filter(({ path }) => !books.includes(displayPath(path))),
  });
  return {
    blue,
    green,
    catalogs: { blue: rowsOf(await blue.catalog()), green: rowsOf(await green.catalog()) },
    expect: context.plan.expect,
    env: { ...context.env, GREEN_URL: await database.url('green') },
    signal: context.signal,
  };
}

function summaryOf(findings: readonly Finding[]): string {
  const passed = findings.filter(({ severity }) => severity === 'ok');
  return passed.map(({ message }) => message).join('; ') || 'no check was asked for';
}
