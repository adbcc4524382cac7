import type { Finding, Severity } from '../../core/drivers/check.ts';
import type { Plan } from '../../core/plan.ts';
import type { RunState } from '../../journal/fold.ts';
import { formatDuration } from '../../util/units.ts';
import { estimateText } from '../plan.ts';
import { html, table, type Markup } from './markup.ts';

const WORDS: Record<Severity, readonly [word: string, look: string]> = {
  ok: ['✔ kept', 'good'],
  note: ['· note', 'dim'],
  warning: ['! warning', 'warn'],
  failure: ['✖ failed', 'bad'],
  unknown: ['? unknown', 'warn'],
};

export const findingsTable = (findings: readonly Finding[]): Markup =>
  table(
    'Each line is one finding',
    ['What', 'Outcome', 'Finding'],
    findings.map(({ check, severity, message, detail, hint }) => [
      check,
      html`<span class="${WORDS[severity][1]}">${WORDS[severity][0]}</span>`,
      html`${message}${detail ? html`<pre>${detail}</pre>` : ''}${hint ? html`<div class="dim">→ ${hint}</div>` : ''}`,
    ]),
  );

export interface Lane {
  readonly name: string;
  /** Milliseconds on one clock. */
  readonly from: number;
  readonly to: number;
  readonly failed: boolean;
  /** A part of the lane before it. */
  readonly inner: boolean;
}

/** One bar a lane, on a common scale; read out, it is a list of names and durations. */
export function lanes(given: readonly Lane[]): Markup {
  const start = Math.min(...given.map(({ from }) => from));
  const whole = Math.max(1, Math.max(...given.map(({ to }) => to)) - start);
  const share = (ms: number): string => ((100 * ms) / whole).toFixed(2);
  return html`<ol class="lanes">
    ${given.map(
      ({ name, from, to, failed, inner }) =>
        html`<li class="${inner ? 'inner' : ''} ${failed ? 'failed' : ''}">
          <span class="name">${name}</span>
          <span class="way" aria-hidden="true"
            ><span class="bar" style="left:${share(from - start)}%;width:${share(to - from)}%"></span
          ></span>
          <span class="took">${formatDuration(to - from)}</span>
        </li> `,
    )}
  </ol>`;
}

/** The steps of a run on the clock of the day. */
export const stepLanes = ({ plan, steps }: RunState): Lane[] =>
  plan.steps.flatMap(({ id }) => {
    const { startedAt, ms, error } = steps[id]!;
    if (startedAt === undefined || ms === undefined) return [];
    const from = Date.parse(startedAt);
    return [{ name: id, from, to: from + ms, failed: error !== undefined, inner: true }];
  });

export const estimatesTable = ({ plan, steps }: RunState): Markup =>
  table(
    'For each step of the run',
    ['Step', 'Took', 'Estimated before'],
    plan.steps.map(({ id, estimate }) => {
      const { ms } = steps[id]!;
      return [
        id,
        ms === undefined ? 'did not end' : formatDuration(ms),
        estimate ? estimateText(estimate) : '',
      ];
    }),
  );

export const planList = ({ steps }: Plan): Markup =>
  html`<details>
    <summary>${steps.length} steps, as they were planned</summary>
    <ol>
      ${steps.map(({ title, does }) => html`<li>${title}${does.length > 0 ? html`<pre>${does.join('\n')}</pre>` : ''}</li> `)}
    </ol>
  </details>`;
