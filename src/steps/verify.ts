import type { Catalog } from '../core/catalog.ts';
import type { CheckContext, Finding } from '../core/check.ts';
import type { Baseline } from '../core/database.ts';
import { DifferencesError } from '../core/errors.ts';
import type { Step, StepContext, StepResult } from '../core/step.ts';
import { displayPath } from '../util/sql.ts';
import { formatDuration, plural } from '../util/units.ts';
import { refuseDrift } from './shared/drift.ts';
import { livePlan } from './shared/live-plan.ts';
import { controlOf } from './shared/control.ts';
import { assertUntouched, closedSides, type Closed, type FenceOutput } from './shared/proof.ts';

export interface VerifyOutput {
  readonly baseline: Baseline;
  readonly closed: Closed;
}

/** The same of a run that follows blue. */
export interface LiveVerifyOutput {
  /** Milliseconds for which writers waited. */
  readonly heldMs: number;
  /** Position of green: what is written later is new. */
  readonly since: string;
}

/**
 * Checks that need to connect to green by themselves come first; then green is closed like blue, so that nothing that
 * the other checks prove can change until the switch.
 */
export const verify: Step = {
  kind: 'verify',
  async run(context) {
    if (context.plan.live) return verifyLive(context);
    const findings: Finding[] = [];
    // An attempt before this one had closed it.
    if ((await context.database.state('green'))?.closed) await context.database.open('green', 'copy');
    await runChecks(context, 'green-open', findings);
    await context.database.close('green', { wait: 0, then: 'end' }, controlOf(context));
    const closed = await proofBegins(context);
    await runChecks(context, 'closed', findings);
    await assertUntouched(context, closed);
    refuseFailures(findings);
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

/** While clients write: both sides are compared as they were at one and the same moment. */
async function verifyLive(context: StepContext): Promise<StepResult> {
  const { live } = context.database;
  const { follow } = livePlan(context);
  const findings: Finding[] = [];
  await refuseDrift(context);
  const since = await live.position('green');
  const point = await live.samePoint(follow, controlOf(context));
  try {
    await runChecks(context, 'green-open', findings, point);
    await runChecks(context, 'closed', findings, point);
    findings.push(...(await notFollowed(context, point)));
  } finally {
    await point.end();
  }
  refuseFailures(findings);
  const held = `compared as of one moment, for which writers waited ${formatDuration(point.heldMs)}`;
  const output: LiveVerifyOutput = { heldMs: point.heldMs, since };
  return { output, findings, summary: `${summaryOf(findings)}; ${held}` };
}

/** What replication does not carry is not proved. */
async function notFollowed(context: StepContext, { blue }: Sides): Promise<Finding[]> {
  const followed = followedNames(context);
  const rest = (await blue.catalog()).tables
    .filter(({ path }) => !followed(path))
    .map(({ path }) => displayPath(path));
  if (rest.length === 0) return [];
  return [
    {
      check: 'verify',
      severity: 'note',
      message: `rows not compared, because nobody follows them: ${rest.join(', ')}`,
    },
  ];
}

function followedNames(context: StepContext): (path: readonly string[]) => boolean {
  const unfollowed = new Set(livePlan(context).unfollowed);
  return (path) => !unfollowed.has(displayPath(path));
}

function refuseFailures(findings: readonly Finding[]): void {
  const failures = findings.filter(({ severity }) => severity === 'failure' || severity === 'unknown');
  if (failures.length === 0) return;
  throw new DifferencesError(`verification found ${plural(failures.length, 'problem')}`, findings, {
    hint: 'mend the migrations, or name in the playbook what is meant to differ; then run again',
  });
}

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
  sides?: Sides,
): Promise<void> {
  const checks = context.checks.filter(({ check }) => check.when === when);
  if (checks.length === 0) return;
  const shared = await checkContext(context, sides);
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

type Sides = Pick<CheckContext, 'blue' | 'green'>;

async function checkContext(context: StepContext, sides?: Sides): Promise<Omit<CheckContext, 'progress'>> {
  const { database } = context;
  const { blue, green } = sides ?? {
    blue: await database.reader('blue'),
    green: await database.reader('green'),
  };
  const books = booksOf(context);
  const followed = context.plan.live ? followedNames(context) : () => true;
  const rowsOf = (catalog: Catalog): Catalog => ({
    ...catalog,
    tables: catalog.tables.filter(({ path }) => !books.includes(displayPath(path)) && followed(path)),
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
