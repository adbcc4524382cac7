import ICAL from 'ical.js';
import { Zone } from '../../util/time/zone.ts';

type Component = InstanceType<typeof ICAL.Component>;
type Property = InstanceType<typeof ICAL.Property>;
export type Time = InstanceType<typeof ICAL.Time>;

/** A clock that says when it shows a civil time, which is written as the milliseconds that it would be in UTC. */
export type Clock = Pick<Zone, 'instant'>;

/** A date or a time of a calendar; a date is the midnight that it begins with. */
export interface Moment {
  readonly civil: number;
  readonly isDate: boolean;
  readonly clock: Clock;
}

export const civilOf = ({ year, month, day, hour, minute, second }: Time): number =>
  Date.UTC(year, month - 1, day, hour, minute, second);

/** The same civil time for the calendar's library, which is to do no arithmetic on zones. */
export const floating = (civil: number, isDate: boolean): Time => {
  const at = new Date(civil);
  const day = { year: at.getUTCFullYear(), month: at.getUTCMonth() + 1, day: at.getUTCDate() };
  const time = { hour: at.getUTCHours(), minute: at.getUTCMinutes(), second: at.getUTCSeconds() };
  return new ICAL.Time({ ...day, ...time, isDate }, ICAL.Timezone.localTimezone);
};

/** The clocks that the times of a calendar are told by; what is told by none is told by that of the place. */
export class Clocks {
  readonly #calendar: Component;
  readonly #place: Zone;
  readonly #known = new Map<string, Clock>();

  constructor(calendar: Component, place: Zone) {
    this.#calendar = calendar;
    this.#place = place;
  }

  moment(time: Time, property: Property): Moment {
    const civil = civilOf(time);
    if (Number.isNaN(civil)) throw new Error(`${property.name.toUpperCase()} is no date and no time`);
    return { civil, isDate: time.isDate, clock: this.#of(time, property) };
  }

  #of(time: Time, property: Property): Clock {
    if (time.isDate) return this.#place;
    if (time.zone === ICAL.Timezone.utcTimezone) return UTC;
    const name = property.getFirstParameter('tzid');
    return name ? this.named(name) : this.#place;
  }

  /** A name that the world knows is what the world knows by it: calendars carry abridged rules, of today or of long ago. */
  named(name: string): Clock {
    const known = this.#known.get(name) ?? zoneOf(name) ?? this.#described(name);
    if (!known) throw new Error(`it names the time zone ${JSON.stringify(name)}, and does not describe it`);
    this.#known.set(name, known);
    return known;
  }

  #described(name: string): Clock | undefined {
    const zone = this.#calendar.getTimeZoneByID(name);
    return zone ? { instant: (civil) => civil - 1000 * zone.utcOffset(floating(civil, false)) } : undefined;
  }
}

const UTC: Clock = { instant: (civil) => civil };

function zoneOf(name: string): Zone | undefined {
  try {
    return new Zone(name);
  } catch {
    return undefined;
  }
}
