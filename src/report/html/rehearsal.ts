import { basename } from 'node:path';
import type { Rehearsal } from '../../rehearse/rehearse.ts';
import { redact } from '../../util/redact.ts';
import { isGood, verdictWords } from '../rehearsal.ts';
import { CHART_PROGRAM, charts } from './charts.ts';
import { html } from './markup.ts';
import { pageText } from './page.ts';
import { findingsTable, lanes, planList, stepLanes, type Lane } from './parts.ts';

/** A rehearsal as a page of one file, for whoever has to say yes to the real run. */
export function rehearsalPage(rehearsal: Rehearsal): string {
  const { playbook, fixture, versions, findings, without, runs, told, answered } = rehearsal;
  const servers = versions.blue === versions.green ? versions.blue : `${versions.blue} and ${versions.green}`;
  const start = Math.min(told[0]?.from ?? Infinity, answered[0]?.at ?? Infinity);
  const [plan] = runs.map((run) => run.plan);
  return redact(
    pageText({
      title: `Rehearsal of ${playbook}`,
      good: isGood(rehearsal),
      verdict: verdictWords(rehearsal),
      facts: `Fixture ${basename(fixture.folder)}, scale ${fixture.scale}, seed ${fixture.seed}; PostgreSQL ${servers}`,
      sections: [
        { title: 'What was promised', body: findingsTable(findings) },
        { title: 'Timeline', body: lanes(commandLanes(rehearsal)) },
        ...(answered.length > 0 ? [{ title: 'Clients', body: charts(rehearsal, start) }] : []),
        ...(without.length > 0
          ? [
              {
                title: 'Not rehearsed',
                body: html`<ul>
                  ${without.map((line) => html`<li>${line}</li>`)}
                </ul>`,
              },
            ]
          : []),
        ...(plan ? [{ title: 'The plan', body: planList(plan) }] : []),
      ],
      ...(answered.length > 0 && { program: CHART_PROGRAM }),
    }),
  );
}

/** Every command, and below it the steps of the run that it made. */
function commandLanes({ told, runs }: Rehearsal): Lane[] {
  const left = [...runs];
  return told.flatMap(({ words, code, from, to }) => {
    const lane = {
      name: words.slice(0, 1).join(' '),
      from: performance.timeOrigin + from,
      to: performance.timeOrigin + to,
      failed: code !== 0,
      inner: false,
    };
    const run = words[0] === 'run' ? left.shift() : undefined;
    return [lane, ...(run ? stepLanes(run) : [])];
  });
}
