import type { Rehearsal } from '../../rehearse/rehearse.ts';
import { formatDuration } from '../../util/units.ts';
import { html, json, table, type Markup } from './markup.ts';

/** A point of a chart for every so many milliseconds at least. */
const BUCKET_MS = 100;
const MOST_BUCKETS = 600;

interface Bucket {
  /** Seconds from the start. */
  readonly at: number;
  readonly perSecond: number;
  readonly median: number | null;
  readonly largest: number | null;
}

/** What clients saw, in equal pieces of time; an answer counts when it came. */
export function bucketsOf({ answered }: Pick<Rehearsal, 'answered'>, start: number): Bucket[] {
  const end = latest(
    answered.map(({ at, ms }) => at + ms),
    start,
  );
  const width = Math.max(BUCKET_MS, Math.ceil((end - start) / MOST_BUCKETS));
  const count = Math.floor((end - start) / width) + 1;
  const times: number[][] = Array.from({ length: count }, () => []);
  for (const { at, ms } of answered) times[Math.max(0, Math.floor((at + ms - start) / width))]!.push(ms);
  return times.map((list, index) => {
    const sorted = list.toSorted((a, b) => a - b);
    return {
      at: (index * width) / 1000,
      perSecond: (1000 * list.length) / width,
      median: sorted[list.length >> 1] ?? null,
      largest: sorted.at(-1) ?? null,
    };
  });
}

/** Math.max takes no more arguments than fit the stack. */
const latest = (times: readonly number[], least: number): number =>
  times.reduce((most, time) => Math.max(most, time), least);

/** Latency and throughput over time, each with a summary in words; the figures follow as a table. */
export function charts(rehearsal: Rehearsal, start: number): Markup {
  const buckets = bucketsOf(rehearsal, start);
  const largest = Math.max(0, ...buckets.map((bucket) => bucket.largest ?? 0));
  const most = Math.max(0, ...buckets.map(({ perSecond }) => perSecond));
  const commands = rehearsal.told.map(({ words, from, to }) => ({
    name: words[0]!,
    from: (from - start) / 1000,
    to: (to - start) / 1000,
  }));
  return html`<figure role="group" aria-labelledby="latency-title">
      <figcaption id="latency-title">How long clients waited, in milliseconds</figcaption>
      <p class="dim">At most ${formatDuration(largest)}. Shaded: while a command was at work.</p>
      <div
        class="chart"
        id="latency"
        role="img"
        aria-label="Latency over time; the figures are in the table below"
      ></div>
    </figure>
    <figure role="group" aria-labelledby="throughput-title">
      <figcaption id="throughput-title">Transactions that were answered in a second</figcaption>
      <p class="dim">At most ${Math.round(most)}.</p>
      <div
        class="chart"
        id="throughput"
        role="img"
        aria-label="Throughput over time; the figures are in the table below"
      ></div>
    </figure>
    <details>
      <summary>The figures as a table</summary>
      ${table(
        'For each piece of time',
        ['Second', 'Answered in a second', 'Median, ms', 'Largest, ms'],
        buckets.map(({ at, perSecond, median, largest: top }) => [
          at.toFixed(1),
          Math.round(perSecond),
          median === null ? 'nobody was answered' : median.toFixed(1),
          top === null ? '' : top.toFixed(1),
        ]),
      )}
    </details>
    ${json('chart-data', {
      at: buckets.map(({ at }) => at),
      perSecond: buckets.map(({ perSecond }) => perSecond),
      median: buckets.map(({ median }) => median),
      largest: buckets.map((bucket) => bucket.largest),
      commands,
    })}`;
}

/** Draws both charts, and draws them again when the window or the colours change. */
export const CHART_PROGRAM = `
(() => {
  const data = JSON.parse(document.getElementById('chart-data').textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let drawn = [];
  const bands = (u) => {
    u.ctx.save();
    u.ctx.fillStyle = colour('--fill');
    for (const { from, to } of data.commands) {
      const left = Math.max(u.bbox.left, u.valToPos(from, 'x', true));
      const right = Math.min(u.bbox.left + u.bbox.width, u.valToPos(to, 'x', true));
      if (right > left) u.ctx.fillRect(left, u.bbox.top, right - left, u.bbox.height);
    }
    u.ctx.restore();
  };
  const axis = (extra) => ({ stroke: colour('--dim'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line') }, ...extra });
  const chart = (id, series, values) => {
    const place = document.getElementById(id);
    place.replaceChildren();
    const options = {
      width: place.clientWidth, height: 220, scales: { x: { time: false }, y: { range: (u, low, high) => [0, (high || 1) * 1.1] } }, legend: { live: true },
      axes: [axis({ values: (u, ticks) => ticks.map((tick) => tick + ' s') }), axis({ size: 60 })],
      series: [{ label: 'Second' }, ...series], hooks: { drawAxes: [bands] }, cursor: { points: { size: 6 } },
    };
    return new uPlot(options, [data.at, ...values], place);
  };
  const line = (label, stroke, width) => ({ label, stroke, width, spanGaps: false, points: { show: false } });
  const draw = () => {
    for (const each of drawn) each.destroy();
    drawn = [
      chart('latency', [line('largest', colour('--bad'), 1.5), line('median', colour('--blue'), 1.5)], [data.largest, data.median]),
      chart('throughput', [line('answered', colour('--good'), 1.5)], [data.perSecond]),
    ];
  };
  draw();
  let width = innerWidth;
  addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
})();
`;
