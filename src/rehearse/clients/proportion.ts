/**
 * An order in which each occurs as often as its weight says, spread over the whole instead of one after the other:
 * weights 3 and 1 give a, a, b, a.
 */
export function inProportion<T extends { readonly weight: number }>(all: readonly T[]): T[] {
  const total = all.reduce((sum, { weight }) => sum + weight, 0);
  const due = all.map(() => 0);
  return Array.from({ length: total }, () => {
    for (const [index, { weight }] of all.entries()) due[index]! += weight;
    const next = due.indexOf(Math.max(...due));
    due[next]! -= total;
    return all[next]!;
  });
}
