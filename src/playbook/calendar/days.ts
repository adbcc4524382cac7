import ICAL from 'ical.js';
import { messageOf } from '../../core/errors.ts';
import type { ExceptedDays } from '../../core/playbook.ts';
import { Zone } from '../../util/time/zone.ts';
import { Clocks, type Moment } from './clock.ts';
import { among, momentsOf, occurrencesOf } from './occurrences.ts';

type Component = InstanceType<typeof ICAL.Component>;

const DAY_MS = 24 * 3600 * 1000;
const LONGEST_NAME = 60;

/** Civil times, both included. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * The days of a place on which something of a calendar takes place, with its name. Events are looked at whatever they
 * are; those that are cancelled do not count. Throws when the text is no calendar, or says what cannot be followed.
 */
export function daysOf(text: string, timezone: string, span: Span): ExceptedDays[] {
  const place = new Zone(timezone);
  return calendarsOf(text).flatMap((calendar) => {
    const clocks = new Clocks(calendar, place);
    return seriesOf(calendar).flatMap((series) =>
      named(series.head, () => seriesDays(series, clocks, place, span)),
    );
  });
}

function calendarsOf(text: string): Component[] {
  const parsed = ICAL.parse(text) as readonly unknown[];
  const roots = typeof parsed[0] === 'string' ? [parsed] : parsed;
  const calendars = roots.map((root) => new ICAL.Component(root as never));
  if (calendars.length === 0 || calendars.some(({ name }) => name !== 'vcalendar'))
    throw new Error('it holds no VCALENDAR');
  return calendars;
}

interface Series {
  /** Gives it its name in messages. */
  readonly head: Component;
  /** Undefined where only single ones of it are there. */
  readonly event: Component | undefined;
  /** Single ones that are different, by their RECURRENCE-ID. */
  readonly changed: readonly Component[];
}

function seriesOf(calendar: Component): Series[] {
  const events = calendar.getAllSubcomponents('vevent');
  const uidOf = (event: Component): unknown => event.getFirstPropertyValue('uid') ?? event;
  const singles = events.filter((event) => event.hasProperty('recurrence-id'));
  const heads = events.filter((event) => !event.hasProperty('recurrence-id'));
  const known = new Set(heads.map(uidOf));
  return [
    ...heads.map((event) => ({
      head: event,
      event,
      changed: singles.filter((single) => uidOf(single) === uidOf(event)),
    })),
    ...singles
      .filter((single) => !known.has(uidOf(single)))
      .map((head) => ({ head, event: undefined, changed: [head] })),
  ];
}

function named<T>(event: Component, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`${JSON.stringify(nameOf(event))}: ${messageOf(error)}`, { cause: error });
  }
}

function nameOf(event: Component): string {
  const text = String(event.getFirstPropertyValue('summary') ?? '');
  const plain = text.replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\s]+/gu, ' ').trim();
  return plain.length > LONGEST_NAME
    ? `${plain.slice(0, LONGEST_NAME)}…`
    : plain || 'an event without a name';
}

const isCancelled = (event: Component): boolean =>
  String(event.getFirstPropertyValue('status') ?? '').toUpperCase() === 'CANCELLED';

/** What of an event counts for each time that it takes place. */
interface Shape {
  readonly event: Component;
  readonly start: Moment;
  /** Of whole days, and exact milliseconds after them. */
  readonly days: number;
  readonly ms: number;
}

function shapeOf(event: Component, clocks: Clocks): Shape {
  const start = momentsOf(event, 'dtstart', clocks)[0]?.start;
  if (!start) throw new Error('it has no DTSTART');
  const end = momentsOf(event, 'dtend', clocks)[0]?.start;
  const length = event.getFirstPropertyValue('duration') as InstanceType<typeof ICAL.Duration> | null;
  if (end && start.isDate) return { event, start, days: (end.civil - start.civil) / DAY_MS, ms: 0 };
  if (end)
    return { event, start, days: 0, ms: end.clock.instant(end.civil) - start.clock.instant(start.civil) };
  if (!length) return { event, start, days: start.isDate ? 1 : 0, ms: 0 };
  const { weeks, days, hours, minutes, seconds } = length;
  return { event, start, days: 7 * weeks + days, ms: 1000 * (3600 * hours + 60 * minutes + seconds) };
}

function seriesDays({ event, changed }: Series, clocks: Clocks, place: Zone, span: Span): ExceptedDays[] {
  const singles = changed.map((single) => {
    const property = single.getFirstProperty('recurrence-id')!;
    const [instead] = momentsOf(single, 'recurrence-id', clocks);
    return {
      shape: shapeOf(single, clocks),
      instead: instead!.start,
      andLater: property.getFirstParameter('range')?.toUpperCase() === 'THISANDFUTURE',
    };
  });
  const isChanged = among(singles.map(({ instead }) => instead));
  const later = singles
    .filter(({ andLater }) => andLater)
    .toSorted((a, b) => a.instead.civil - b.instead.civil);
  const usual = event && shapeOf(event, clocks);
  const regular = usual
    ? occurrencesOf(usual.event, usual.start, clocks, span.to)
        .filter(({ start }) => !isChanged(start))
        .flatMap(({ start, end }) => {
          const from = later.findLast(({ instead }) => instead.civil <= start.civil);
          if (!from) return spanDays(usual, start, place, end);
          const moved = start.civil + from.shape.start.civil - from.instead.civil;
          return spanDays(from.shape, { ...from.shape.start, civil: moved }, place);
        })
    : [];
  return [...regular, ...singles.flatMap(({ shape }) => spanDays(shape, shape.start, place))].filter(
    ({ from, to }) => to >= isoDay(span.from) && from <= isoDay(span.to),
  );
}

const isoDay = (civil: number): string => new Date(civil).toISOString().slice(0, 10);

/** The days of one time; its end is not part of it. */
function spanDays(shape: Shape, start: Moment, place: Zone, end?: Moment): ExceptedDays[] {
  if (isCancelled(shape.event)) return [];
  const why = nameOf(shape.event);
  if (start.isDate) {
    const days = Math.max(1, Math.ceil(shape.days + shape.ms / DAY_MS));
    return [{ from: isoDay(start.civil), to: isoDay(start.civil + (days - 1) * DAY_MS), why }];
  }
  const first = start.clock.instant(start.civil);
  const over = end
    ? end.clock.instant(end.civil)
    : start.clock.instant(start.civil + shape.days * DAY_MS) + shape.ms;
  return [{ from: isoDay(place.civil(first)), to: isoDay(place.civil(Math.max(first, over - 1))), why }];
}
