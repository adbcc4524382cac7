import type { Event } from '../core/event.ts';
import type { Finding } from '../core/drivers/check.ts';
import type { RunState } from '../journal/fold.ts';
import type { Rehearsal } from '../rehearse/rehearse.ts';
import { redact } from '../util/redact.ts';
import { formatDuration } from '../util/units.ts';
import { allowedBy } from './approval.ts';
import { estimateText } from './plan.ts';
import { findingsOf, isWell, linesOf, outcomeOf } from './record.ts';
import { isGood, verdictWords } from './rehearsal.ts';

/** What a person or a server wrote must not become a part of the document. */
const cell = (text: string): string =>
  text.replaceAll(/[\\`*_{}[\]<>#|~]/g, String.raw`\$&`).replaceAll(/\s*\n\s*/g, '<br>');

const row = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  row(head),
  `|${head.map(() => '---|').join('')}`,
  ...rows.map(row),
];

const findingRows = (findings: readonly Finding[]): string[] =>
  table(
    ['What', 'Outcome', 'Finding'],
    findings.map(({ check, severity, message, detail }) => [
      check,
      severity,
      detail === undefined ? message : `${message}\n${detail}`,
    ]),
  );

const stepRows = ({ plan, steps }: RunState): string[] =>
  table(
    ['Step', 'State', 'Took', 'Estimated'],
    plan.steps.map(({ id, estimate }) => {
      const { phase, ms } = steps[id]!;
      return [
        id,
        phase,
        ms === undefined ? '' : formatDuration(ms),
        estimate === undefined ? '' : estimateText(estimate),
      ];
    }),
  );

/** A run as a document for a ticket or a wiki. */
export function runMarkdown(state: RunState, events: readonly Event[]): string {
  const findings = findingsOf(state);
  const lines = [
    `# Run ${state.run} of ${cell(state.plan.name)}`,
    '',
    `**${isWell(state) ? '✔' : '✖'} ${cell(outcomeOf(state))}**`,
    '',
    `Started ${state.startedAt} by ${cell(state.operator + allowedBy(state.approval))}${state.endedAt === undefined ? '' : `, ended ${state.endedAt}`}.`,
    '',
    '## Steps',
    '',
    ...stepRows(state),
    ...(findings.length > 0 ? ['', '## Findings', '', ...findingRows(findings)] : []),
    '',
    '## What happened',
    '',
    ...table(
      ['At', 'What'],
      linesOf(events).map(({ at, text }) => [at, text]),
    ),
    '',
  ];
  return redact(lines.join('\n'));
}

/** A rehearsal as a document for a ticket or a wiki. */
export function rehearsalMarkdown(rehearsal: Rehearsal): string {
  const { playbook, findings, runs, without } = rehearsal;
  const lines = [
    `# Rehearsal of ${cell(playbook)}`,
    '',
    `**${isGood(rehearsal) ? '✔' : '✖'} ${cell(verdictWords(rehearsal))}**`,
    '',
    ...findingRows(findings),
    ...runs.flatMap((run, index) => ['', `## Run ${index + 1}`, '', ...stepRows(run)]),
    ...(without.length > 0 ? ['', '## Not rehearsed', '', ...without.map((line) => `- ${cell(line)}`)] : []),
    '',
  ];
  return redact(lines.join('\n'));
}
