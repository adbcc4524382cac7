/** Runs work one after the other, whatever became of the work before. */
export function inTurn(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const next = last.then(work);
    // Whoever asked for the work hears of its failure; whoever comes next must only wait for its end.
    last = next.catch(() => undefined);
    return next;
  };
}
