import type { LivePlan, Plan, PlannedStep } from '../core/plan.ts';
import { redact } from '../util/redact.ts';
import type { Style } from '../util/style.ts';
import { formatBytes, formatCount, formatDuration, plural, type Estimate } from '../util/units.ts';
import { findingsText } from './findings.ts';

/** The plan for a person: every step, what it executes, an estimate, and what undoes it. */
export function planText(plan: Plan, style: Style): string {
  const { blue, names } = plan;
  const lines = [
    `${style.bold(`Plan of ${plan.name}`)}  ${style.dim(plan.playbook.file)}`,
    `  blue   ${names.blue}: ${plural(blue.tables, 'table')}, about ${formatCount(blue.estimatedRows)} rows, ${formatBytes(blue.bytes)}, PostgreSQL ${plan.server.version}`,
    `  green  ${names.green}: a copy on ${plan.live?.green === undefined ? 'the same' : 'another'} server`,
    '',
    downtime(plan),
    '',
    ...plan.steps.flatMap((step, index) => stepLines(step, index + 1, style)),
  ];
  if (plan.findings.length > 0)
    lines.push(style.bold('What the preflight sees'), findingsText(plan.findings, style), '');
  lines.push(
    `fingerprint ${plan.fingerprint.slice(0, 16)}  ${style.dim('over playbook, migration files and schema of blue')}`,
  );
  return redact(lines.join('\n'));
}

function downtime(plan: Plan): string {
  if (plan.live) return liveTime(plan, plan.live);
  const closed = plan.steps.filter(({ kind }) => !['preflight', 'keep', 'bake'].includes(kind));
  const total = closed.reduce((sum, { estimate }) => sum + (estimate?.ms ?? 0), 0);
  return (
    `  Blue is not followed while it is copied (sync: none). From the fence to the switch nobody can read or write\n` +
    `  ${plan.names.blue}: about ${formatDuration(total)}, and as long as the migrations and your answer at the gate take.`
  );
}

/** Clients go on all the time, but for these moments. */
function liveTime({ names, steps }: Plan, { pause, clone }: LivePlan): string {
  const held = steps.find(({ ownership }) => ownership === 'moves')?.estimate?.ms ?? 0;
  const copying =
    clone.method === 'template'
      ? `\n  While the copy is made they are held, or disconnected where nobody can hold them: about ${formatDuration(clone.estimateMs)}, at most ${formatDuration(clone.pause)}.`
      : '';
  return (
    `  Clients go on reading and writing ${names.blue}, and ${names.green} follows (sync: logical). In the switch they are held for\n` +
    `  about ${formatDuration(held)}, at most ${formatDuration(pause.budget)}; no write is refused or lost.${copying}`
  );
}

/** `about 1.2 s, 900 ms to 1.6 s (from 4 runs of 12 MB to 48 MB)` */
export const estimateText = ({ ms, basis, least, most }: Estimate): string =>
  least === undefined || most === undefined
    ? `about ${formatDuration(ms)} (${basis})`
    : `about ${formatDuration(ms)}, ${formatDuration(least)} to ${formatDuration(most)} (${basis})`;

function stepLines(step: PlannedStep, number: number, style: Style): string[] {
  const estimate = step.estimate ? style.dim(`  ${estimateText(step.estimate)}`) : '';
  const moves = step.ownership === 'moves' ? style.yellow('  ← ownership moves here') : '';
  return [
    `${style.bold(`${number}. ${step.title}`)}${estimate}${moves}`,
    ...step.does.map((line) => `     ${line}`),
    style.dim(`     undo: ${step.undo}`),
    '',
  ];
}
