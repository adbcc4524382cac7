import type { Playbook } from '../core/playbook.ts';
import { openingsOf, type Opening } from './calendar.ts';
import { UsedOpenings } from './used.ts';

/** Further back nobody wants to hear of them. */
const BACK_MS = 31 * 24 * 3600 * 1000;

/**
 * Openings in which nothing was begun, and nothing can be any more, in order of time. Each is given once, also when the
 * process is another one by then; what was before a playbook was first looked at counts for nothing.
 */
export async function missedOf(playbook: Playbook, stateFolder: string, now: number): Promise<Opening[]> {
  const used = new UsedOpenings(stateFolder, playbook.name);
  const since = await used.watchedSince();
  if (since === undefined) {
    await used.watch(new Date(now));
    return [];
  }
  const from = Math.max(since, now - BACK_MS);
  const known = new Set((await used.read()).map(({ key }) => key));
  const missed = playbook.windows
    .flatMap((window) => over(window, from, now))
    .filter(({ key }) => !known.has(key))
    .toSorted((one, other) => one.opens - other.opens);
  // One that is open still begins anew to count; it is known by its own time.
  if (missed.length > 0) await used.watch(new Date(now));
  return missed;
}

/** Those of a window after whose latest start it is by now, and before whose it was then. */
function over(window: Playbook['windows'][number], from: number, now: number): Opening[] {
  const found: Opening[] = [];
  for (const opening of openingsOf(window, from)) {
    if (opening.opens > now) break;
    if (opening.latestStart > from && opening.latestStart <= now) found.push(opening);
  }
  return found;
}
