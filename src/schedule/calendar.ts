import type { Fallback, MaintenanceWindow } from '../core/playbook.ts';
import { readPattern, type Pattern } from '../util/time/cron.ts';
import { Zone } from '../util/time/zone.ts';

/** One time at which a window is open. Instants are milliseconds since 1970. */
export interface Opening {
  /** Names it for good: the civil time at which it should open, and the place. */
  readonly key: string;
  readonly opens: number;
  readonly closes: number;
  /** Nothing is begun from then on. */
  readonly latestStart: number;
  readonly zone: string;
  /** It is not for the switch. */
  readonly prepare: boolean;
  readonly tooShort: Fallback;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Further ahead nobody plans; a pattern such as 30 February has no time at all. */
const YEARS = 9;

const isoDay = (civil: number): string => new Date(civil).toISOString().slice(0, 10);
const isoMinute = (civil: number): string => new Date(civil).toISOString().slice(0, 16);

/** All openings of a window that close after an instant, in order of time, for some years. */
export function* openingsOf(window: MaintenanceWindow, after: number): Generator<Opening> {
  const zone = new Zone(window.timezone);
  const pattern = readPattern(window.cron);
  const start = Math.floor((zone.civil(after) - window.duration - 2 * DAY_MS) / DAY_MS) * DAY_MS;
  const end = start + YEARS * 366 * DAY_MS;
  let last = -Infinity;
  for (let day = start; day < end; day += DAY_MS) {
    if (!isDay(pattern, day) || isExcepted(window, day)) continue;
    const today = minutesOf(pattern)
      .map((minute) => day + minute * MINUTE_MS)
      .map((civil) => ({ civil, opens: zone.instant(civil) }))
      // A jump of the clock may bring one behind the next.
      .toSorted((one, other) => one.opens - other.opens);
    for (const { civil, opens } of today) {
      // Two that fall on one instant are one.
      if (opens <= last) continue;
      last = opens;
      const closes = opens + window.duration;
      if (closes <= after) continue;
      yield {
        key: `${isoMinute(civil)} ${window.timezone}`,
        opens,
        closes,
        latestStart: opens + Math.min(window.duration, window.latestStart ?? window.duration),
        zone: window.timezone,
        prepare: window.prepare,
        tooShort: window.tooShort,
      };
    }
  }
}

const minutesOf = ({ hours, minutes }: Pattern): number[] =>
  hours.flatMap((hour) => minutes.map((minute) => 60 * hour + minute));

function isDay({ months, days }: Pattern, civil: number): boolean {
  const date = new Date(civil);
  if (!months.has(date.getUTCMonth() + 1)) return false;
  if (days === null) return true;
  const number = date.getUTCDate();
  const lastOfMonth = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  if (days.of === 'month') return days.numbers.has(number) || (days.last && number === lastOfMonth);
  return days.each.some(({ day, nth }) => {
    if (date.getUTCDay() !== day) return false;
    if (nth === undefined) return true;
    return nth === -1 ? number > lastOfMonth - 7 : Math.ceil(number / 7) === nth;
  });
}

/** Days are those on which a window opens, by the clock of its place. */
function isExcepted(window: MaintenanceWindow, civil: number): boolean {
  return exceptionOf(window, isoDay(civil)) !== undefined;
}

const exceptionOf = ({ except }: MaintenanceWindow, day: string) =>
  except.find(({ from, to }) => day >= from && day <= to);

/** A time at which a window does not open, and why. */
export interface LeftOut extends Opening {
  readonly why: string;
}

/** What the windows would have opened at between two instants, and do not, in order of time. */
export function leftOutOf(windows: readonly MaintenanceWindow[], after: number, until: number): LeftOut[] {
  const all = windows.flatMap((window) => {
    const found: LeftOut[] = [];
    for (const opening of openingsOf({ ...window, except: [] }, after)) {
      if (opening.opens > until) break;
      const exception = exceptionOf(window, opening.key.slice(0, 10));
      if (exception) found.push({ ...opening, why: exception.why });
    }
    return found;
  });
  return all.toSorted((one, other) => one.opens - other.opens);
}

/** Openings of several windows, in order of time; the first `count` that close after an instant. */
export function nextOpenings(windows: readonly MaintenanceWindow[], after: number, count: number): Opening[] {
  const all = windows.flatMap((window) => {
    const found: Opening[] = [];
    for (const opening of openingsOf(window, after)) {
      found.push(opening);
      if (found.length === count) break;
    }
    return found;
  });
  return all.toSorted((one, other) => one.opens - other.opens).slice(0, count);
}

/** The openings in which something may be begun at an instant: those for the switch first, and of these the one that closes last. */
export const openNow = (windows: readonly MaintenanceWindow[], now: number): Opening[] =>
  windows
    .flatMap((window) => {
      const found: Opening[] = [];
      for (const opening of openingsOf(window, now)) {
        if (opening.opens > now) break;
        if (now < opening.latestStart) found.push(opening);
      }
      return found;
    })
    .toSorted((one, other) => Number(one.prepare) - Number(other.prepare) || other.closes - one.closes);
