import type { LeftOut, Opening } from '../schedule/calendar.ts';
import { Zone } from '../util/time/zone.ts';

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

const clock = (civil: number): string => new Date(civil).toISOString().slice(11, 16);

const day = (civil: number): string =>
  `${DAYS[new Date(civil).getUTCDay()]} ${new Date(civil).toISOString().slice(0, 10)}`;

function span(zone: Zone, { opens, closes }: Opening): string {
  const [from, to] = [zone.civil(opens), zone.civil(closes)];
  return `${day(from)} ${clock(from)} to ${day(to) === day(from) ? '' : `${day(to)} `}${clock(to)}`;
}

/** Openings, a line each: by the clock of their place, and by another one; and what is left out between them. */
export function windowsText(openings: readonly Opening[], leftOut: readonly LeftOut[], here: string): string {
  return [
    ...openings.map((opening) => ({ at: opening.opens, text: line(opening, here) })),
    ...leftOut.map((opening) => ({ at: opening.opens, text: leftOutLine(opening) })),
  ]
    .toSorted((one, other) => one.at - other.at)
    .map(({ text }) => text)
    .join('\n');
}

function leftOutLine({ opens, zone: name, why }: LeftOut): string {
  const civil = new Zone(name).civil(opens);
  return `${day(civil)} ${clock(civil)} ${name}   does not open: ${why}`;
}

function line(opening: Opening, here: string): string {
  const zone = new Zone(opening.zone);
  const parts = [`${span(zone, opening)} ${opening.zone}`];
  if (here !== opening.zone) parts.push(`${span(new Zone(here), opening)} ${here}`);
  if (opening.latestStart < opening.closes) parts.push(`begins by ${clock(zone.civil(opening.latestStart))}`);
  if (zone.civil(opening.opens) !== Date.parse(`${opening.key.slice(0, 16)}Z`))
    parts.push(`the clock skips ${opening.key.slice(11, 16)}`);
  else if (zone.offset(opening.opens) !== zone.offset(opening.closes))
    parts.push('the clock changes meanwhile');
  return parts.join('   ');
}
