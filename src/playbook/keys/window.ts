import { z } from 'zod';
import { patternMistake } from '../../util/time/cron.ts';
import { duration } from '../../util/options.ts';

const DAY_MS = 24 * 3600 * 1000;
/** `2026-12-24`, or `2026-12-20..2027-01-06`. */
const DATES = /^(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?$/;

const isDate = (text: string): boolean => {
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
};

function isDates(text: string): boolean {
  const [, from, to = from] = DATES.exec(text) ?? [];
  return from !== undefined && to !== undefined && isDate(from) && isDate(to) && from <= to;
}

/** The name of an iCalendar file. */
export const isCalendar = (text: string): boolean => /^[^~].*\.ics$/i.test(text);

function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

const one = () =>
  z
    .strictObject({
      cron: z
        .string()
        .superRefine((text, context) => {
          const mistake = patternMistake(text);
          if (mistake !== undefined) context.addIssue({ code: 'custom', message: mistake });
        })
        .describe(
          'When it opens, by the clock of the place: minute, hour, day of the month, month, day of the week.',
        ),
      timezone: z
        .string()
        .refine(isZone, { error: 'is no time zone; write one such as Europe/Berlin, or UTC' })
        .describe('The place whose clock counts: Europe/Berlin.'),
      duration: duration()
        .refine((ms) => ms >= 60_000 && ms <= 7 * DAY_MS, { error: 'must be at least 1m, and at most 7d' })
        .describe('How long it is open.'),
      'latest-start': duration()
        .refine((ms) => ms > 0, { error: 'must be more than nothing' })
        .optional()
        .describe('How long after it opened a run may begin; as long as it is open unless given.'),
      only: z
        .enum(['prepare'])
        .optional()
        .describe(
          'prepare: with sync, the run is brought as far as its switch, which waits for another window.',
        ),
      'too-short': z
        .enum(['unwind', 'hold'])
        .prefault('unwind')
        .describe(
          'When too little is left for the switch: unwind puts everything back; hold, with sync, waits for the next window.',
        ),
      except: z
        .array(
          z.string().refine((text) => isDates(text) || isCalendar(text), {
            error:
              'write a day, 2026-12-24, or days, 2026-12-20..2027-01-06, or a calendar beside the playbook, holidays.ics',
          }),
        )
        .prefault([])
        .describe(
          'Days on which it does not open: 2026-12-24, or 2026-12-20..2027-01-06, or those of a calendar file, holidays.ics.',
        ),
    })
    .refine(({ duration: open, 'latest-start': latest }) => latest === undefined || latest <= open, {
      error: 'latest-start is later than the window closes',
    });

/** When an unattended run may be made. */
export const windows = () =>
  z
    .union([one(), z.array(one()).min(1)])
    .optional()
    .describe('When cutover schedule may make the run; one window, or a list of them.');
