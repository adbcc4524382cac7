import type { Notice } from '../core/drivers/notice.ts';
import type { Playbook } from '../core/playbook.ts';
import { formatCount } from '../util/units.ts';
import type { Opening } from './calendar.ts';

/** What no run can tell of, because none was there or its process is gone. */
export type Untold =
  | { readonly kind: 'missed'; readonly openings: readonly Opening[] }
  | { readonly kind: 'died' }
  | {
      readonly kind: 'held';
      readonly run: string;
      readonly obstacle: string;
      readonly opening: Opening;
    };

/** The notice for it. */
export function untoldNotice(playbook: Pick<Playbook, 'name' | 'file'>, untold: Untold, now: Date): Notice {
  const { name, file } = playbook;
  const common = { playbook: name, run: undefined, exit: undefined, at: now.toISOString() };
  if (untold.kind === 'missed')
    return {
      ...common,
      event: 'missed',
      outcome: 'missed',
      message: `${name}: missed — ${missedWords(untold.openings)}`,
      next: `to see when the next one opens: cutover windows ${file}; to run it without one: cutover run ${file}`,
    };
  if (untold.kind === 'held')
    return {
      ...common,
      run: untold.run,
      event: 'missed',
      outcome: 'missed',
      message: `${name}: missed — nothing was begun in its window ${untold.opening.key}: ${untold.obstacle}`,
      next: `to go on: cutover resume ${untold.run}; to put everything back: cutover abort ${untold.run}`,
    };
  return {
    ...common,
    event: 'failed',
    outcome: 'died',
    message: `${name}: died — the process of its run was killed in the middle of it`,
    next: 'to see how far it came: cutover status; to put everything back: cutover abort; to go on: cutover resume',
  };
}

/** Openings in which nothing was begun, in words; at least one. */
export function missedWords(openings: readonly Opening[]): string {
  const { key } = openings.at(-1)!;
  return openings.length === 1
    ? `its window ${key} is over, and no run was begun in it`
    : `${formatCount(openings.length)} of its windows are over, and no run was begun in them; the last was ${key}`;
}
