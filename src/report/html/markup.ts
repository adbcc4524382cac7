/** HTML that is safe to put into a page as it is. */
export interface Markup {
  readonly markup: string;
}

type Part = Markup | string | number | readonly Part[];

const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');

const written = (part: Part): string => {
  if (typeof part === 'string') return escaped(part);
  if (typeof part === 'number') return String(part);
  return 'markup' in part ? part.markup : part.map(written).join('');
};

/** Puts texts into HTML; whatever is not itself such HTML is escaped. */
export const html = (strings: TemplateStringsArray, ...parts: readonly Part[]): Markup => ({
  markup: strings.reduce((text, string, index) => text + written(parts[index - 1]!) + string),
});

/** Text that was not made from anything that somebody could have written: style sheets and programs. */
export const raw = (markup: string): Markup => ({ markup });

/** Data for a program of the page. */
export const json = (id: string, data: unknown): Markup => ({
  markup: `<script type="application/json" id="${escaped(id)}">${JSON.stringify(data).replaceAll('<', '\\u003c')}</script>`,
});

/** A table of texts; the first column names the row. */
export const table = (caption: string, head: readonly string[], rows: readonly (readonly Part[])[]): Markup =>
  html` <table>
    <caption>
      ${caption}
    </caption>
    <thead>
      <tr>
        ${head.map((each) => html`<th scope="col">${each}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        ([first = '', ...rest]) =>
          html`<tr>
            <th scope="row">${first}</th>
            ${rest.map((each) => html`<td>${each}</td>`)}
          </tr> `,
      )}
    </tbody>
  </table>`;
