import type { RunState } from '../journal/fold.ts';

/** Whether a copy whose run is held follows, as far as the journal knows, in words. */
export function followerWords({ plan, steps }: Pick<RunState, 'plan' | 'steps'>): string {
  const { green, blue } = plan.names;
  const sync = plan.steps.find(({ kind }) => kind === 'sync');
  return sync && steps[sync.id]!.phase === 'failed'
    ? `${green} may stand still, and ${blue} keeps all its WAL for it`
    : `${green} follows`;
}
