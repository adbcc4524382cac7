/** Lends one of several things to whoever has work for it, in the order in which they ask. */
export function lanes<L>(items: readonly L[]): <T>(work: (lane: L) => Promise<T>) => Promise<T> {
  const free = [...items];
  const waiting: ((lane: L) => void)[] = [];
  return async (work) => {
    const lane = free.pop() ?? (await new Promise<L>((resolve) => waiting.push(resolve)));
    try {
      return await work(lane);
    } finally {
      const next = waiting.shift();
      if (next) next(lane);
      else free.push(lane);
    }
  };
}

/** Like `Promise.all` over `work`, a few at a time; after the first failure nothing more is begun. Results keep their order. */
export async function eachOf<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const index = next++;
      try {
        results[index] = await work(items[index]!, index);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  for (const each of ended) if (each.status === 'rejected') throw each.reason as Error;
  return results;
}
