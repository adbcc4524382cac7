import { basename } from 'node:path';
import type { RunState } from '../journal/fold.ts';
import type { Rehearsal } from '../rehearse/rehearse.ts';
import { redact, redactDeep } from '../util/redact.ts';
import type { Style } from '../util/style.ts';
import { formatDuration } from '../util/units.ts';
import { findingsText } from './findings.ts';

/** Nothing that was promised was broken. */
export const isGood = ({ findings }: Rehearsal): boolean =>
  findings.every(({ severity }) => severity !== 'failure' && severity !== 'unknown');

/** For whoever asked whether the real run may be made. */
export function rehearsalText(rehearsal: Rehearsal, style: Style): string {
  const { playbook, fixture, versions, runs, findings, without } = rehearsal;
  const servers = versions.blue === versions.green ? versions.blue : `${versions.blue} and ${versions.green}`;
  const lines = [
    style.bold(`Rehearsal of ${playbook}`) +
      ` on ${basename(fixture.folder)}, scale ${fixture.scale}, seed ${fixture.seed}, PostgreSQL ${servers}`,
    '',
    findingsText(findings, style),
    '',
    ...runs.map((run, index) => `${runs.length > 1 ? `Run ${index + 1}` : 'Steps'}: ${stepsText(run)}`),
    latencyText(rehearsal),
  ];
  if (without.length > 0) lines.push('', 'Not rehearsed:', ...without.map((line) => `  ${line}`));
  lines.push('', verdictText(rehearsal, style));
  return redact(lines.join('\n'));
}

const stepsText = ({ plan, steps }: RunState): string =>
  plan.steps
    .flatMap(({ id }) => {
      const { ms } = steps[id]!;
      return ms === undefined ? [] : [`${id} ${formatDuration(ms)}`];
    })
    .join(', ') || 'none came to its end';

export interface Latency {
  readonly median: number;
  readonly p99: number;
  readonly largest: number;
}

/** In milliseconds; of nothing, zeros. */
export function latencyOf({ answered }: Pick<Rehearsal, 'answered'>): Latency {
  const sorted = answered.map(({ ms }) => ms).toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { median: at(0.5), p99: at(0.99), largest: sorted.at(-1) ?? 0 };
}

function latencyText(rehearsal: Rehearsal): string {
  const { median, p99, largest } = latencyOf(rehearsal);
  return `Clients waited ${formatDuration(median)} in the median, ${formatDuration(p99)} in 99 of 100 cases, ${formatDuration(largest)} at most`;
}

/** In one sentence. */
export function verdictWords(rehearsal: Rehearsal): string {
  if (isGood(rehearsal)) return 'every promise was kept here.';
  const broken = rehearsal.findings.filter(
    ({ severity }) => severity === 'failure' || severity === 'unknown',
  );
  return `not as promised: ${[...new Set(broken.map(({ check }) => check))].join(', ')}.`;
}

const verdictText = (rehearsal: Rehearsal, style: Style): string =>
  (isGood(rehearsal) ? style.green : style.red)(`Verdict: ${verdictWords(rehearsal)}`);

/** The same for programs; times in milliseconds. */
export const rehearsalJson = (rehearsal: Rehearsal): string => {
  const { playbook, live, fixture, versions, told, runs, held, errors, acknowledged, findings, without } =
    rehearsal;
  return JSON.stringify(
    redactDeep({
      good: isGood(rehearsal),
      playbook,
      live,
      fixture,
      versions,
      commands: told.map(({ words, code, from, to }) => ({
        words,
        code: code ?? null,
        ms: Math.round(to - from),
      })),
      runs: runs.map(({ run, plan, steps }) => ({
        run,
        bytes: plan.blue.bytes,
        steps: plan.steps.map(({ id }) => ({ id, phase: steps[id]!.phase, ms: steps[id]!.ms ?? null })),
      })),
      measured: rehearsal.measured,
      held,
      clients: {
        transactions: rehearsal.answered.length,
        acknowledged,
        errors: errors.length,
        latency: latencyOf(rehearsal),
      },
      findings,
      without,
    }),
    null,
    2,
  );
};
