import type { CheckContext, Finding } from '../core/drivers/check.ts';
import type { Baseline } from '../core/database/database.ts';
import { DifferencesError } from '../core/errors.ts';
import type { Step, StepContext, StepResult } from '../core/step.ts';
import { formatDuration, plural } from '../util/units.ts';
import { booksNote, runChecks, unfollowedNote, type Checking } from './shared/checking.ts';
import { refuseDrift } from './shared/drift.ts';
import { livePlan } from './live/plan.ts';
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
    // An attempt before this one had closed it.
    if ((await context.database.state('green'))?.closed) await context.database.open('green', 'copy');
    const checking = await checkingOf(context);
    const findings = await runChecks(checking, await readersOf(context), ['green-open']);
    await context.database.close('green', { wait: 0, then: 'end' }, controlOf(context));
    const closed = await proofBegins(context);
    findings.push(...(await runChecks(checking, await readersOf(context), ['closed'])));
    await assertUntouched(context, closed);
    refuseFailures(findings);
    findings.push(...booksNote(context.migrators));
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
  await refuseDrift(context);
  const since = await live.position('green');
  const point = await live.samePoint({ from: 'blue', to: 'green' }, follow, controlOf(context));
  const findings: Finding[] = [];
  try {
    const checking = await checkingOf(context);
    findings.push(
      ...(await runChecks(checking, point)),
      ...unfollowedNote(context.plan, await point.blue.catalog()),
    );
  } finally {
    await point.end();
  }
  refuseFailures(findings);
  const held = `compared as of one moment, for which writers waited ${formatDuration(point.heldMs)}`;
  const output: LiveVerifyOutput = { heldMs: point.heldMs, since };
  return { output, findings, summary: `${summaryOf(findings)}; ${held}` };
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

async function checkingOf(context: StepContext): Promise<Checking> {
  const { plan, checks, migrators, env, signal, database } = context;
  return {
    plan,
    checks,
    migrators,
    env,
    signal,
    greenUrl: await database.url('green'),
    progress: (name, done, total, note) =>
      context.progress(done, total, 'rows', note ? `${name}: ${note}` : name),
  };
}

async function readersOf({ database }: StepContext): Promise<Pick<CheckContext, 'blue' | 'green'>> {
  return { blue: await database.reader('blue'), green: await database.reader('green') };
}

function summaryOf(findings: readonly Finding[]): string {
  const passed = findings.filter(({ severity }) => severity === 'ok');
  return passed.map(({ message }) => message).join('; ') || 'no check was asked for';
}
