import type { Finding, Severity } from '../core/drivers/check.ts';
import type { Style } from '../util/style.ts';

const SIGNS: Record<Severity, string> = { ok: '✔', note: '·', warning: '!', failure: '✖', unknown: '?' };

/** Findings, a block each: what, then the details, then what mends it. */
export function findingsText(findings: readonly Finding[], style: Style): string {
  return findings.map((finding) => findingText(finding, style)).join('\n');
}

function findingText({ check, severity, message, detail, hint }: Finding, style: Style): string {
  const paint = {
    ok: style.green,
    note: style.dim,
    warning: style.yellow,
    failure: style.red,
    unknown: style.yellow,
  }[severity];
  const lines = [`${paint(SIGNS[severity])} ${style.dim(`${check}:`)} ${message}`];
  if (detail) lines.push(...detail.split('\n').map((line) => `  ${line}`));
  if (hint) lines.push(...hint.split('\n').map((line) => `    → ${line}`));
  return lines.join('\n');
}
