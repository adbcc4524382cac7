import type { WorkControl } from '../../core/work.ts';
import type { StepContext } from '../../core/step.ts';

export const controlOf = (context: StepContext): WorkControl => ({
  signal: context.signal,
  progress: (done, total, unit, note) => context.progress(done, total, unit, note),
});

/** For work that must be finished once it is begun, whatever signal comes. */
export const uninterrupted = (context: StepContext): WorkControl => ({
  ...controlOf(context),
  signal: new AbortController().signal,
});
