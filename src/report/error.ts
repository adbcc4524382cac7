import { CutoverError, isServerError, serverMessage } from '../core/errors.ts';
import { redact } from '../util/redact.ts';
import type { Style } from '../util/style.ts';
import { findingsText } from './findings.ts';
import type { Finding } from '../core/drivers/check.ts';

/**
 * An error for a person: what happened, where, in which state things are now, and what to type next: `next`, or what the
 * error advises.
 */
export function errorText(error: unknown, style: Style, now: readonly string[] = [], next?: string): string {
  if (!(error instanceof Error)) return redact(`${style.red('✖')} ${String(error)}`);
  const { where, detail, hint } = error as Partial<CutoverError>;
  const findings = (error as { findings?: readonly Finding[] }).findings ?? [];
  const lines = [
    `${style.red('✖')} ${style.bold(isServerError(error) ? serverMessage(error) : error.message)}`,
  ];
  if (where && !error.message.startsWith(where)) lines.push(`  at ${where}`);
  if (typeof detail === 'string') lines.push(...detail.split('\n').map((line) => `  ${line}`));
  if (findings.length > 0) lines.push('', findingsText(shownFirst(findings), style));
  if (now.length > 0) lines.push('', style.bold('Now'), ...now.map((line) => `  ${line}`));
  const advice = next ?? hint;
  if (advice) lines.push('', style.bold('Next'), ...advice.split('\n').map((line) => `  ${line}`));
  if (!(error instanceof CutoverError) && !isServerError(error)) lines.push('', unforeseen(error));
  return redact(lines.join('\n'));
}

// What stopped the run must not drown in what is merely good to know.
const shownFirst = (findings: readonly Finding[]): Finding[] => {
  const failures = findings.filter(({ severity }) => severity === 'failure' || severity === 'unknown');
  const warnings = findings.filter(({ severity }) => severity === 'warning');
  return [...failures, ...warnings];
};

function unforeseen(error: Error): string {
  return `This error was not foreseen. Where it came from:\n${error.stack ?? ''}`;
}
