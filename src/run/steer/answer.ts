import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Asked } from '../engine/execution.ts';
import { formatDuration } from '../../util/units.ts';

/** One way to get an answer; takes its question back when the signal fires. */
export type Source = (asked: Asked, signal: AbortSignal) => Promise<Answer>;

/** The first answer of all who may give one, the gate's time limit among them. */
export async function firstAnswer(
  asked: Asked,
  sources: readonly Source[],
  signal: AbortSignal,
): Promise<Answer> {
  const answered = new AbortController();
  const either = AbortSignal.any([signal, answered.signal]);
  try {
    return await Promise.race([
      ...[...sources, timeLimit].map((source) => source(asked, either)),
      aborted(signal),
    ]);
  } finally {
    answered.abort();
  }
}

async function timeLimit({ limit }: Asked, signal: AbortSignal): Promise<Answer> {
  if (limit.timeout === undefined) return Promise.withResolvers<Answer>().promise;
  await sleep(limit.timeout, undefined, { signal });
  return {
    answer: limit.otherwise,
    by: `the time limit of ${formatDuration(limit.timeout)}`,
    timeLimit: true,
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  const fail = (): void => reject(signal.reason as Error);
  if (signal.aborted) fail();
  else signal.addEventListener('abort', fail, { once: true });
  return promise;
}
