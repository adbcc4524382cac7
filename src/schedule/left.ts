import { commandTo } from '../core/side.ts';
import { fold, type RunState } from '../journal/fold.ts';
import type { JournalStore } from '../journal/journal.ts';

/** A run that a scheduler began, and that nobody works on any more before it is settled. */
export interface Left {
  readonly run: string;
  /** The playbook's name. */
  readonly name: string;
  /** The command that settles it. */
  readonly words: readonly string[];
}

/** What processes that died have left of the runs of these playbooks. A journal that is damaged is nobody's. */
export async function leftRuns(store: JournalStore, names: ReadonlySet<string>): Promise<Left[]> {
  const left: Left[] = [];
  for (const run of await store.list()) {
    const state = await stateOf(store, run);
    // One that a person began is that person's.
    if (!state || state.window === undefined || !names.has(state.plan.name)) continue;
    const words = wordsFor(state);
    if (words && (await store.writer(run)) === undefined) left.push({ run, name: state.plan.name, words });
  }
  return left;
}

/** What the journal says of a run; undefined when it is empty or damaged. */
export async function stateOf(store: JournalStore, run: string): Promise<RunState | undefined> {
  try {
    const events = await store.read(run);
    return events.length === 0 ? undefined : fold(events);
  } catch {
    return undefined;
  }
}

/** Before the switch everything is put back; behind it there is only the way forward. */
function wordsFor({ run, phase, live, heading }: RunState): readonly string[] | undefined {
  if (phase === 'unwinding' || (phase === 'running' && live === 'blue')) return ['abort', run];
  if (phase === 'running') return ['resume', run, '--yes'];
  if (phase === 'swapping back') return [commandTo(heading), run, '--yes'];
  return undefined;
}
