import { parse, validateDetailed } from 'node-cron';

/** A time pattern of five fields, as sets. Days are `null` when any day will do. */
export interface Pattern {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly months: ReadonlySet<number>;
  readonly days: DayOfMonth | DayOfWeek | null;
}

/** `last`: the month's last day, too. */
export interface DayOfMonth {
  readonly of: 'month';
  readonly numbers: ReadonlySet<number>;
  readonly last: boolean;
}

/** Sunday is 0. `nth` counts from 1 in the month, and -1 is the last one; without it every one. */
export interface DayOfWeek {
  readonly of: 'week';
  readonly each: readonly { readonly day: number; readonly nth: number | undefined }[];
}

/** What is wrong with a pattern; undefined when nothing is. */
export function patternMistake(text: string): string | undefined {
  const { valid, errors } = validateDetailed(text);
  if (!valid) return errors.map(({ message }) => message).join('; ');
  if (text.trim().split(/\s+/).length !== 5)
    return 'must have five fields: minute, hour, day of the month, month, day of the week';
  const { dayOfMonth, dayOfWeek } = parse(text);
  if ([...dayOfMonth, ...dayOfWeek].some((each) => /[W?]/i.test(String(each))))
    return 'W and ? are not known here';
  if (dayOfMonth.length < 31 && dayOfWeek.length < 7)
    return 'names days of the month and of the week: cron takes either, and people mean both; the first Sunday is SUN#1';
  return undefined;
}

const numbers = (list: readonly (number | string)[]): number[] =>
  list.filter((each) => typeof each === 'number').toSorted((a, b) => a - b);

/** Reads a pattern without mistakes. */
export function readPattern(text: string): Pattern {
  const { minute, hour, dayOfMonth, month, dayOfWeek } = parse(text);
  const days =
    dayOfMonth.length < 31
      ? ({
          of: 'month',
          numbers: new Set(numbers(dayOfMonth)),
          last: dayOfMonth.some((each) => each === 'L'),
        } as const)
      : dayOfWeek.length < 7
        ? ({ of: 'week', each: dayOfWeek.map(weekday) } as const)
        : null;
  return { minutes: numbers(minute), hours: numbers(hour), months: new Set(numbers(month)), days };
}

function weekday(each: number | string): DayOfWeek['each'][number] {
  const [, day, nth] = /^(\d)(?:#(\d)|L)?$/i.exec(String(each)) ?? [];
  const last = typeof each === 'string' && /L$/i.test(each);
  return { day: Number(day) % 7, nth: last ? -1 : nth === undefined ? undefined : Number(nth) };
}
