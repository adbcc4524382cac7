import type { Shape } from './shape.ts';

/** How a table differs from what it was, in words; a column that has another name is one that is gone and one that is new. */
export function differenceOf(before: Shape, now: Shape | undefined): string {
  if (!now) return 'the table is gone';
  const old = new Map(before.columns.map((column) => [column.name, column]));
  const names = new Set(now.columns.map(({ name }) => name));
  const words = [
    ...before.columns.flatMap(({ name }) => (names.has(name) ? [] : [`column ${name} is gone`])),
    ...now.columns.flatMap((column) => {
      const was = old.get(column.name);
      if (!was) return [`column ${column.name} is new`];
      if (was.type !== column.type) return [`column ${column.name} is ${column.type}`];
      if (was.required !== column.required)
        return [`column ${column.name} ${column.required ? 'must not' : 'may'} be NULL`];
      if (was.generated !== column.generated || was.identity !== column.identity)
        return [`column ${column.name} makes its values otherwise`];
      return [];
    }),
  ];
  if (before.key.join('\0') !== now.key.join('\0')) words.push(`the key is ${now.key.join(', ') || 'gone'}`);
  return words.length > 0 ? words.join(', ') : 'its constraints are others';
}
