import type { CatalogObject } from '../../core/database/catalog.ts';
import { plural } from '../../util/units.ts';
import { displayName } from './families.ts';
import { keyOf } from './names.ts';
import { sameDefinition } from './renames.ts';
import type { Difference } from './schema-diff.ts';

/** More would not be read. */
const LINES = 120;
const WIDTH = 160;

const cut = (text: string): string => (text.length > WIDTH ? `${text.slice(0, WIDTH - 1)}…` : text);

/** One line an object, such as `~ column public.shops.rating  integer → bigint`, in aligned columns. */
export function printDifference(differences: readonly Difference[]): string {
  const rows = differences.map((difference) => {
    const { how, blue, green, expected } = difference;
    const [text, more] =
      how === 'missing'
        ? [firstLine(blue), []]
        : how === 'renamed'
          ? [`renamed to ${displayName(green!.path)}`, []]
          : changes(difference);
    const verdict = expected ? '(expected)' : how === 'missing' ? 'MISSING' : 'CHANGED';
    const name = `${how === 'missing' ? '-' : '~'} ${blue.kind} ${displayName(blue.path)}`;
    return { name, text: cut(text), verdict, more };
  });
  const width = (of: 'name' | 'text'): number =>
    Math.min(60, Math.max(0, ...rows.map((row) => row[of].length)));
  const widths = { name: width('name'), text: width('text') };
  return limited(
    rows.flatMap(({ name, text, verdict, more }) => [
      `${name.padEnd(widths.name)}  ${text.padEnd(widths.text)}  ${verdict}`,
      ...more.map((line) => `    ${cut(line)}`),
    ]),
  );
}

/** What only green has; the parts of a new table are counted, not listed. */
export function printAdded(added: readonly CatalogObject[]): string {
  const tables = new Map<string, number>();
  for (const object of added) {
    if (object.path.length === 2) tables.set(keyOf(object.path), 0);
  }
  const own: CatalogObject[] = [];
  for (const object of added) {
    const table = keyOf(object.path.slice(0, 2));
    if (object.path.length > 2 && tables.has(table)) {
      if (object.kind === 'column') tables.set(table, tables.get(table)! + 1);
    } else own.push(object);
  }
  const rows = own.map((object) => {
    const columns = tables.get(keyOf(object.path)) ?? 0;
    const text = object.path.length === 2 && columns > 0 ? plural(columns, 'column') : firstLine(object);
    return { name: `+ ${object.kind} ${displayName(object.path)}`, text: cut(text) };
  });
  const width = Math.min(60, Math.max(0, ...rows.map((row) => row.name.length)));
  return limited(rows.map(({ name, text }) => `${name.padEnd(width)}  ${text}`.trimEnd()));
}

// The line above says the kind and name already; an owner says nothing about what a thing is.
const firstLine = (object: CatalogObject): string => {
  const line = object.definition.split('\n')[0]!.trim();
  return line.startsWith('owner ') ? '' : line;
};

/** The lines of a definition that differ: one against one on the same line, otherwise below each other. */
function changes({ blue, green, renames }: Difference): [string, string[]] {
  const [before, after] = [blue.definition.split('\n'), green!.definition.split('\n')];
  const gone = before.filter((line) => !after.some((other) => sameDefinition(line, other, renames)));
  const came = after.filter((line) => !before.some((other) => sameDefinition(other, line, renames)));
  if (gone.length + came.length === 0) return ['lines in another order', []];
  if (gone.length <= 1 && came.length <= 1 && (gone[0] ?? '').length + (came[0] ?? '').length < WIDTH) {
    return [`${gone[0]?.trim() ?? '(nothing)'} → ${came[0]?.trim() ?? '(nothing)'}`, []];
  }
  return [
    '',
    [...gone.map((line) => `blue:  ${line}`), ...came.map((line) => `green: ${line}`)].slice(0, 12),
  ];
}

const limited = (lines: readonly string[]): string =>
  lines.length <= LINES
    ? lines.join('\n')
    : [...lines.slice(0, LINES), `… and ${lines.length - LINES} lines more`].join('\n');
