/** The numbers of a version such as `001`, `1.2`, `2026_11_21`: parts are compared as numbers, missing ones are 0. */
function partsOf(version: string): bigint[] {
  return version.split(/[._]/).map((part) => BigInt(part));
}

export const isVersion = (text: string): boolean => /^\d+(?:[._]\d+)*$/.test(text);

/** Negative, zero or positive, as for sorting; `1`, `01` and `1.0` are one version. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [partsOf(a), partsOf(b)];
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const [x, y] = [left[at] ?? 0n, right[at] ?? 0n];
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}
