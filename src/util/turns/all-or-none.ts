/**
 * Runs all at once. When one fails or the signal fires, the others are told so, and only after all of them have ended the
 * first reason is thrown.
 */
export async function allOrNone(
  works: readonly ((signal: AbortSignal) => Promise<void>)[],
  signal: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  await Promise.allSettled(
    works.map((work) => work(either).catch((error: unknown) => failed.abort(error as Error))),
  );
  either.throwIfAborted();
}
