import ICAL from 'ical.js';
import { civilOf, floating, type Clocks, type Moment, type Time } from './clock.ts';

type Component = InstanceType<typeof ICAL.Component>;
type Property = InstanceType<typeof ICAL.Property>;
type Recur = InstanceType<typeof ICAL.Recur>;

const DAY_MS = 24 * 3600 * 1000;
/** Somebody's heartbeat is no holiday. */
const MOST_STEPS = 100_000;

const dayOf = (civil: number): number => Math.floor(civil / DAY_MS);

/** Civil times by the clock of the event's first one. */
export interface Occurrence {
  readonly start: Moment;
  /** An end of its own: of a period. */
  readonly end?: Moment;
}

/** Every time in a component's properties of a name, with periods. */
export function momentsOf(component: Component, name: string, clocks: Clocks): Occurrence[] {
  return component.getAllProperties(name).flatMap((property) =>
    property.getValues().map((value) => {
      const given = value as Time | InstanceType<typeof ICAL.Period>;
      if (!(given instanceof ICAL.Period)) return { start: clocks.moment(given, property) };
      return { start: clocks.moment(given.start, property), end: clocks.moment(given.getEnd(), property) };
    }),
  );
}

/** Tells whether a moment is one of some; one that is a date means the whole day. */
export function among(some: readonly Moment[]): (moment: Moment) => boolean {
  const instants = new Set<number>();
  const days = new Set<number>();
  const allDays = new Set<number>();
  for (const { civil, clock, isDate } of some) {
    allDays.add(dayOf(civil));
    if (isDate) days.add(dayOf(civil));
    else instants.add(clock.instant(civil));
  }
  return ({ civil, clock, isDate }) =>
    (isDate ? allDays : days).has(dayOf(civil)) || (!isDate && instants.has(clock.instant(civil)));
}

/** When an event takes place, up to a civil time; those that are excepted left out, in no order. */
export function occurrencesOf(event: Component, start: Moment, clocks: Clocks, to: number): Occurrence[] {
  const ruled = event
    .getAllProperties('rrule')
    .flatMap((property) => byRule(property, start, clocks, to).map((civil) => ({ ...start, civil })));
  const given = momentsOf(event, 'rdate', clocks);
  const isExcepted = among(momentsOf(event, 'exdate', clocks).map((each) => each.start));
  return [{ start }, ...ruled.map((each) => ({ start: each })), ...given].filter(
    (each) => !isExcepted(each.start),
  );
}

/** Civil times: the library is to count, and not to convert. */
function byRule(property: Property, start: Moment, clocks: Clocks, to: number): number[] {
  const rule = property.getFirstValue() as Recur;
  const { rscale } = (property.toJSON() as unknown as [string, unknown, string, { rscale?: string }])[3];
  if (rscale !== undefined && rscale.toUpperCase() !== 'GREGORIAN')
    throw new Error(`it recurs by the calendar ${rscale}, which is not known here`);
  const goesOn = untilOf(rule, property, clocks);
  rule.until = null;
  const iterator = bounded(rule.iterator(floating(start.civil, start.isDate)), to);
  const found: number[] = [];
  try {
    for (let at = iterator.next(); at; at = iterator.next()) {
      const civil = civilOf(at);
      if (civil > to || !goesOn({ ...start, civil })) break;
      if (fits(rule, at)) found.push(civil);
    }
  } catch (error) {
    if (!(error instanceof OverError)) throw error;
  }
  return found;
}

class OverError extends Error {}

/** A rule that nothing fulfils would be looked through without an end. */
function bounded(
  iterator: ReturnType<Recur['iterator']>,
  to: number,
): Pick<ReturnType<Recur['iterator']>, 'next'> {
  let steps = 0;
  const check = iterator.check_contracting_rules.bind(iterator);
  iterator.check_contracting_rules = () => {
    if (civilOf(iterator.last) > to) throw new OverError();
    if (++steps > MOST_STEPS) throw new Error('it recurs too often to be followed');
    return check();
  };
  return iterator;
}

/** The library takes 30 February for 2 March, and a month that is not among them for its first one. */
function fits({ parts }: Recur, { year, month, day }: Time): boolean {
  const { BYMONTH: months, BYMONTHDAY: days } = parts as Readonly<Record<string, readonly number[]>>;
  const last = new Date(Date.UTC(year, month, 0)).getUTCDate();
  const fitsDay = (each: number): boolean => (each < 0 ? last + 1 + each : each) === day;
  return (months?.includes(month) ?? true) && (days?.some(fitsDay) ?? true);
}

function untilOf(rule: Recur, property: Property, clocks: Clocks): (moment: Moment) => boolean {
  const { until } = rule;
  if (!until) return () => true;
  const { civil, isDate, clock } = clocks.moment(until, property);
  if (isDate) return (moment) => dayOf(moment.civil) <= dayOf(civil);
  const isUtc = until.zone === ICAL.Timezone.utcTimezone;
  return (moment) =>
    isUtc && !moment.isDate
      ? moment.clock.instant(moment.civil) <= clock.instant(civil)
      : moment.civil <= civil;
}
