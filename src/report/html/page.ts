import { readFileSync } from 'node:fs';
import { html, raw, type Markup } from './markup.ts';

export interface Page {
  readonly title: string;
  readonly good: boolean;
  /** In one sentence; stands on top. */
  readonly verdict: string;
  /** A line of facts below it. */
  readonly facts: string;
  readonly sections: readonly { readonly title: string; readonly body: Markup }[];
  /** Draws what the sections have prepared; needs the chart library. */
  readonly program?: string;
}

/** A page in one file that asks for nothing: styles, programs and data are in it. */
export function pageText({ title, good, verdict, facts, sections, program }: Page): string {
  const { markup } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
        />
        <title>${title}</title>
        <style>
          ${raw(STYLE)}${raw(program === undefined ? '' : library('uPlot.min.css'))}
        </style>
      </head>
      <body>
        <main>
          <h1>${title}</h1>
          <p class="verdict ${good ? 'good' : 'bad'}" role="status">${good ? '✔' : '✖'} ${verdict}</p>
          <p class="facts">${facts}</p>
          ${sections.map(
            ({ title: heading, body }) =>
              html`<section>
                <h2>${heading}</h2>
                ${body}
              </section> `,
          )}
        </main>
        ${
          program === undefined
            ? ''
            : html`<script>
                ${raw(library('uPlot.iife.min.js'))};
                ${raw(program)};
              </script>`
        }
      </body>
    </html> `;
  return markup;
}

/** The chart library's own file, beside the one that is imported by its name. */
const library = (file: string): string => readFileSync(new URL(file, import.meta.resolve('uplot')), 'utf8');

const STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --dim: #57606a; --line: #d0d7de; --good: #116329; --bad: #a40e26;
  --warn: #7d4e00; --blue: #0a5bc4; --fill: #0a5bc433; --held: #c4500a55; --soft: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --text: #e6edf3; --dim: #9198a1; --line: #3d444d; --good: #56d364;
  --bad: #ff7b72; --warn: #e3b341; --blue: #79b8ff; --fill: #79b8ff33; --held: #f0883e66; --soft: #161b22; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.verdict { font-size: 1.2rem; font-weight: 600; padding: .75rem 1rem; border-left: .4rem solid; background: var(--soft); margin: 0; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.facts, caption, .dim { color: var(--dim); }
section { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
caption { text-align: left; padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); font-weight: 400; overflow-wrap: anywhere; }
thead th { font-weight: 600; }
thead th, tbody th, td:nth-child(2) { white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; background: var(--soft); padding: .5rem; margin: .3rem 0; }
.lanes { list-style: none; padding: 0; margin: 0; }
.lanes li { display: grid; grid-template-columns: 11rem 1fr 5rem; gap: .6rem; align-items: center; padding: .1rem 0; }
.lanes .inner .name { padding-left: 1rem; color: var(--dim); }
.lanes .way { position: relative; height: .9rem; background: var(--soft); }
.lanes .bar { position: absolute; top: 0; bottom: 0; min-width: 2px; background: var(--blue); }
.lanes .inner .bar { background: var(--fill); border: 1px solid var(--blue); }
.lanes .failed .bar { background: var(--bad); }
.lanes .took { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 1rem; } figcaption { font-weight: 600; }
.chart { width: 100%; min-height: 200px; }
details { margin: .5rem 0; } summary { cursor: pointer; }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
.u-legend { font-size: .85rem; } .u-title { display: none; }
@media (max-width: 40rem) { .lanes li { grid-template-columns: 7.5rem 1fr 4.2rem; font-size: .85rem; } body { font-size: 15px; } }
`;
