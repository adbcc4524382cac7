import type { Event } from '../../core/event.ts';
import type { RunState } from '../../journal/fold.ts';
import { redact } from '../../util/redact.ts';
import { allowedBy } from '../approval.ts';
import { findingsOf, isWell, linesOf, outcomeOf } from '../record.ts';
import { html, table } from './markup.ts';
import { pageText } from './page.ts';
import { estimatesTable, findingsTable, lanes, planList, stepLanes } from './parts.ts';

/** A run as a page of one file. */
export function runPage(state: RunState, events: readonly Event[]): string {
  const { plan } = state;
  const findings = findingsOf(state);
  const bars = stepLanes(state).map((lane) => ({ ...lane, inner: false }));
  return redact(
    pageText({
      title: `Run ${state.run} of ${plan.name}`,
      good: isWell(state),
      verdict: outcomeOf(state),
      facts: `Started ${state.startedAt} by ${state.operator}${allowedBy(state.approval)}; PostgreSQL ${plan.server.version}`,
      sections: [
        ...(state.error
          ? [
              {
                title: 'What went wrong',
                body: html`<p>${state.error.message}</p>
                  ${state.error.detail ? html`<pre>${state.error.detail}</pre>` : ''}${state.error.hint ? html`<p class="dim">→ ${state.error.hint}</p>` : ''}`,
              },
            ]
          : []),
        ...(findings.length > 0 ? [{ title: 'Findings', body: findingsTable(findings) }] : []),
        ...(bars.length > 0 ? [{ title: 'Timeline', body: lanes(bars) }] : []),
        { title: 'Estimated and measured', body: estimatesTable(state) },
        { title: 'The plan', body: planList(plan) },
        {
          title: 'What happened',
          body: table(
            'Every event that says something',
            ['At', 'What'],
            linesOf(events).map(({ at, text }) => [at, text]),
          ),
        },
      ],
    }),
  );
}
