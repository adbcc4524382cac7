import { readFileSync } from 'node:fs';

// Imported before anything else, by any Node that knows modules: nothing here may need more than that.

/** What is wrong with the Node that runs this, and what to do; undefined when nothing is. */
export function nodeProblem(running: string): string | undefined {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { node } = (JSON.parse(manifest) as { engines: { node: string } }).engines;
  if (satisfies(running, node)) return undefined;
  return `cutover needs Node ${node}, and this is ${running}\n\nNext\n  install a newer Node, and run the same again; nothing was touched`;
}

/** Understands what `engines` says here: `^22.22.2 || ^24.15.0 || >=26`. */
export function satisfies(running: string, ranges: string): boolean {
  const own = numbers(running);
  return ranges.split('||').some((range) => {
    const text = range.trim();
    const wanted = numbers(text);
    return (text.charAt(0) !== '^' || own[0] === wanted[0]) && compare(own, wanted) >= 0;
  });
}

const numbers = (version: string): number[] =>
  (/\d+(\.\d+)*/.exec(version) ?? ['0'])[0].split('.').map((part) => Number(part));

function compare(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < 3; index += 1) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
