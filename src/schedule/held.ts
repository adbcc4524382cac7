import type { HeldFor } from '../core/event.ts';
import type { Playbook } from '../core/playbook.ts';
import type { JournalStore } from '../journal/journal.ts';
import { stateOf } from './left.ts';
import type { Opening } from './calendar.ts';

/** A run that stands still before its switch, and whose copy follows meanwhile. */
export interface Held {
  readonly run: string;
  readonly reason: HeldFor;
  /** Of the playbook's text that it was begun with. */
  readonly sha256: string;
}

/** The latest run of a playbook that is held; a journal that is damaged says nothing of one. */
export async function heldRun(store: JournalStore, name: string): Promise<Held | undefined> {
  for (const run of (await store.list()).toReversed()) {
    const state = await stateOf(store, run);
    if (state?.plan.name === name && state.phase === 'held' && state.held)
      return { run, reason: state.held.reason, sha256: state.plan.playbook.sha256 };
  }
  return undefined;
}

/**
 * What an opening is to a run that is held: it goes on in it; or it waits for another one, which is for the switch; or why
 * a person has to decide.
 */
export function turnOf(
  { run, reason, sha256 }: Held,
  playbook: Playbook,
  opening: Opening,
): 'resume' | 'wait' | { readonly obstacle: string } {
  if (reason === 'failure') return { obstacle: `run ${run} is held since a step of it failed` };
  if (playbook.sha256 !== sha256)
    return { obstacle: `run ${run} is held, and the playbook has been changed since it was begun` };
  return opening.prepare ? 'wait' : 'resume';
}

/** The command for an opening: it makes the playbook's run, or goes on with one that is held. */
export const wordsFor = (
  file: string,
  held: Held | undefined,
  { key, closes, prepare, tooShort }: Opening,
): string[] => [
  ...(held ? ['resume', held.run] : ['run', file]),
  '--until',
  new Date(closes).toISOString(),
  '--window',
  key,
  ...(prepare ? ['--prepare'] : []),
  ...(tooShort === 'hold' ? ['--too-short', tooShort] : []),
];
