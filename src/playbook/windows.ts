import { resolve } from 'node:path';
import type { z } from 'zod';
import { messageOf } from '../core/errors.ts';
import type { ExceptedDays, MaintenanceWindow } from '../core/playbook.ts';
import { isCalendar, type windows } from './keys/window.ts';
import type { KeyPath, Mistakes } from '../core/text/mistakes.ts';
import type { Tree } from '../core/text/tree.ts';

/** The days of a calendar file, by the clock of a place. Throws when it cannot be read as one. */
export type ReadCalendar = (file: string, timezone: string) => ExceptedDays[];

interface Around {
  /** Paths are seen from there. */
  readonly folder: string;
  readonly readCalendar: ReadCalendar | undefined;
  readonly mistakes: Mistakes;
}

/** Windows in all their parts; adds a mistake where a calendar of theirs cannot be read. */
export function readWindows(
  given: z.output<ReturnType<typeof windows>>,
  tree: Tree | undefined,
  around: Around,
): MaintenanceWindow[] {
  const written = given === undefined ? [] : [given].flat();
  return written.map(({ cron, timezone, duration, except, ...rest }, index) => {
    const isList = tree?.kind === 'list';
    const own = isList ? tree.items[index] : tree;
    const list = own?.kind === 'map' ? own.entries.get('except')?.tree : undefined;
    const path = isList ? ['window', index, 'except'] : ['window', 'except'];
    return {
      cron,
      timezone,
      duration,
      latestStart: rest['latest-start'],
      prepare: rest.only === 'prepare',
      tooShort: rest['too-short'],
      except: except.flatMap((entry, at) => {
        if (isCalendar(entry))
          return calendarDays(
            entry,
            timezone,
            list?.kind === 'list' ? list.items[at] : own,
            [...path, at],
            around,
          );
        const [from = '', to = from] = entry.split('..');
        return { from, to, why: entry };
      }),
    };
  });
}

function calendarDays(
  name: string,
  timezone: string,
  tree: Tree | undefined,
  path: KeyPath,
  { folder, readCalendar, mistakes }: Around,
): ExceptedDays[] {
  try {
    if (!readCalendar) throw new Error('calendars are not read here');
    const days = readCalendar(resolve(folder, name), timezone);
    return days.map(({ why, ...rest }) => ({ ...rest, why: `${why} (${name})` }));
  } catch (error) {
    mistakes.add(
      tree?.place ?? { start: 0, end: 1 },
      path,
      `cannot be used as a calendar: ${messageOf(error)}`,
    );
    return [];
  }
}
