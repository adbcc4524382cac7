import ava from 'ava';
import { Cron } from 'croner';
import * as fc from 'fast-check';
import { daysOf } from '../src/playbook/calendar/days.ts';

const DAY_MS = 24 * 3600 * 1000;
const FROM = Date.UTC(2026, 0, 1);
const TO = Date.UTC(2031, 0, 1);
const test = ava;

const ics = (...events: readonly string[]): string =>
  `BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\n${events.join('')}END:VCALENDAR\r\n`;
const event = (...lines: readonly string[]): string =>
  `BEGIN:VEVENT\r\n${lines.map((line) => `${line}\r\n`).join('')}END:VEVENT\r\n`;

const iso = (civil: number): string => new Date(civil).toISOString().slice(0, 10);
const compact = (civil: number): string => iso(civil).replaceAll('-', '');

/** Every single day, in order. */
function days(text: string, place = 'Europe/Berlin', from = FROM, to = TO): string[] {
  const found = new Set<string>();
  for (const each of daysOf(text, place, { from, to }))
    for (let at = Date.parse(each.from); at <= Date.parse(each.to); at += DAY_MS) found.add(iso(at));
  return [...found].toSorted();
}

const WEEKDAYS = ['SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA'];

interface Rule {
  readonly text: string;
  /** Whether it holds a day, given the day that the series begins at. */
  readonly has: (day: number, start: number) => boolean;
}

const weekOf = (day: number): number => Math.floor((day / DAY_MS + 3) / 7);
const monthOf = (day: number): number => 12 * new Date(day).getUTCFullYear() + new Date(day).getUTCMonth();
const lastOf = (day: number): number =>
  new Date(Date.UTC(1970, monthOf(day) - 12 * 1970 + 1, 0)).getUTCDate();
const weekday = (day: number): number => new Date(day).getUTCDay();

/** The second Tuesday, or the last Friday. */
function isNth(day: number, nth: number, on: number): boolean {
  const date = new Date(day).getUTCDate();
  if (weekday(day) !== on) return false;
  return nth > 0 ? Math.ceil(date / 7) === nth : Math.ceil((lastOf(day) - date + 1) / 7) === -nth;
}

const isMonthday = (day: number, which: number): boolean =>
  new Date(day).getUTCDate() === (which > 0 ? which : lastOf(day) + 1 + which);

const interval = fc.integer({ min: 1, max: 5 });
const nth = fc.constantFrom(1, 2, 3, 4, -1, -2);
const dow = fc.integer({ min: 0, max: 6 });
const month = fc.integer({ min: 1, max: 12 });
const every = (n: number, value: number): boolean => value % n === 0;

const rules = fc.oneof(
  interval.map((n): Rule => ({
    text: `FREQ=DAILY;INTERVAL=${n}`,
    has: (day, start) => every(n, (day - start) / DAY_MS),
  })),
  fc.tuple(interval, fc.uniqueArray(dow, { minLength: 1, maxLength: 4 })).map(([n, on]): Rule => ({
    text: `FREQ=WEEKLY;INTERVAL=${n};WKST=MO;BYDAY=${on.map((each) => WEEKDAYS[each]).join(',')}`,
    has: (day, start) => on.includes(weekday(day)) && every(n, weekOf(day) - weekOf(start)),
  })),
  fc.tuple(interval, nth, dow).map(([n, place, on]): Rule => ({
    text: `FREQ=MONTHLY;INTERVAL=${n};BYDAY=${place}${WEEKDAYS[on]}`,
    has: (day, start) => isNth(day, place, on) && every(n, monthOf(day) - monthOf(start)),
  })),
  fc.tuple(interval, fc.constantFrom(1, 15, 28, 30, 31, -1, -3)).map(([n, which]): Rule => ({
    text: `FREQ=MONTHLY;INTERVAL=${n};BYMONTHDAY=${which}`,
    has: (day, start) => isMonthday(day, which) && every(n, monthOf(day) - monthOf(start)),
  })),
  fc.tuple(month, nth, dow).map(([of, place, on]): Rule => ({
    text: `FREQ=YEARLY;BYMONTH=${of};BYDAY=${place}${WEEKDAYS[on]}`,
    has: (day) => new Date(day).getUTCMonth() + 1 === of && isNth(day, place, on),
  })),
  fc.tuple(month, fc.constantFrom(1, 6, 24, 29, 31)).map(([of, which]): Rule => ({
    text: `FREQ=YEARLY;BYMONTH=${of};BYMONTHDAY=${which}`,
    has: (day) => new Date(day).getUTCMonth() + 1 === of && isMonthday(day, which),
  })),
);

test('series of whole days are those that are found by asking each day of five years', (t) => {
  fc.assert(
    fc.property(
      rules,
      fc.integer({ min: 0, max: 2000 }),
      fc.oneof(fc.constant(undefined), fc.integer({ min: 1, max: 30 })),
      fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.boolean(),
      (rule, begin, many, gone, length, byCount) => {
        // A series begins with a day of it.
        let start = Date.UTC(2023, 0, 1) + begin * DAY_MS;
        for (const first = start; !rule.has(start, first) || !rule.has(start, start); start += DAY_MS)
          if (start > first + 5 * 366 * DAY_MS) return;
        const all: number[] = [];
        for (let day = start; day < TO + 3 * DAY_MS; day += DAY_MS) if (rule.has(day, start)) all.push(day);
        const kept = many === undefined ? all : all.slice(0, many);
        const end =
          many === undefined ? '' : byCount ? `;COUNT=${many}` : `;UNTIL=${compact(kept.at(-1) ?? start)}`;
        const without = gone.map((index) => all[index]).filter((day) => day !== undefined);
        const text = ics(
          event(
            `DTSTART;VALUE=DATE:${compact(start)}`,
            `DTEND;VALUE=DATE:${compact(start + length * DAY_MS)}`,
            `RRULE:${rule.text}${end}`,
            ...without.map((day) => `EXDATE;VALUE=DATE:${compact(day)}`),
            'SUMMARY:Off',
          ),
        );
        const expected = new Set<string>();
        for (const day of kept) {
          if (without.includes(day)) continue;
          for (let at = 0; at < length; at += 1) expected.add(iso(day + at * DAY_MS));
        }
        t.deepEqual(days(text).filter(within), [...expected].toSorted().filter(within), text);
      },
    ),
    { numRuns: 200 },
  );
});

/** The day that the clocks of a place show. */
const dayIn = (place: string, instant: number): string =>
  new Intl.DateTimeFormat('sv-SE', { timeZone: place, dateStyle: 'short' }).format(instant);

const HAND_MADE = `BEGIN:VTIMEZONE\r
TZID:Our Office\r
BEGIN:STANDARD\r
DTSTART:19701025T030000\r
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r
TZOFFSETFROM:+0200\r
TZOFFSETTO:+0100\r
END:STANDARD\r
BEGIN:DAYLIGHT\r
DTSTART:19700329T020000\r
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r
TZOFFSETFROM:+0100\r
TZOFFSETTO:+0200\r
END:DAYLIGHT\r
END:VTIMEZONE\r
`;

const within = (each: string): boolean => each > '2026-01-03' && each < '2030-12-20';

test('a time of one place is a day of another, through every change of a clock', (t) => {
  // What another implementation says of each Friday and Sunday, half past five in the morning in Berlin.
  const cron = new Cron('30 5 * * 5,0', { timezone: 'Europe/Berlin', paused: true });
  const instants: number[] = [];
  for (let at = cron.nextRun(new Date(FROM)); at && at.getTime() < TO; at = cron.nextRun(at))
    instants.push(at.getTime());
  t.true(instants.length > 500);
  for (const place of [
    'Europe/Berlin',
    'America/Los_Angeles',
    'Asia/Kolkata',
    'Pacific/Auckland',
    'UTC',
    'America/New_York',
  ])
    for (const zone of ['Europe/Berlin', 'Our Office']) {
      // From half past five on for an hour: in New York that is across midnight, but where one clock has changed.
      const text = ics(
        HAND_MADE,
        event(
          `DTSTART;TZID=${zone}:20251228T053000`,
          `DTEND;TZID=${zone}:20251228T063000`,
          'RRULE:FREQ=WEEKLY;BYDAY=FR,SU',
        ),
      );
      const expected = new Set(
        instants.flatMap((at) => [dayIn(place, at), dayIn(place, at + 3_600_000 - 1)]),
      );
      t.deepEqual(
        days(text, place).filter(within),
        [...expected].toSorted().filter(within),
        `${zone} in ${place}`,
      );
    }
});

const CASES: readonly [string, string, readonly string[]][] = [
  [
    'an end is not part of it',
    event('DTSTART;VALUE=DATE:20261224', 'DTEND;VALUE=DATE:20261227'),
    ['2026-12-24', '2026-12-25', '2026-12-26'],
  ],
  ['without an end it is one day', event('DTSTART;VALUE=DATE:20261224'), ['2026-12-24']],
  ['a length in days', event('DTSTART;VALUE=DATE:20261224', 'DURATION:P2D'), ['2026-12-24', '2026-12-25']],
  ['midnight ends the day before', event('DTSTART:20260601T100000', 'DTEND:20260602T000000'), ['2026-06-01']],
  [
    'a minute after midnight does not',
    event('DTSTART:20260601T100000', 'DTEND:20260602T000100'),
    ['2026-06-01', '2026-06-02'],
  ],
  ['UTC is another day here', event('DTSTART:20260601T220000Z', 'DTEND:20260601T230000Z'), ['2026-06-02']],
  [
    'several days by the clock',
    event('DTSTART:20260601T230000', 'DURATION:P1DT2H'),
    ['2026-06-01', '2026-06-02', '2026-06-03'],
  ],
  ['a moment', event('DTSTART:20260601T230000'), ['2026-06-01']],
  ['what is cancelled does not count', event('DTSTART;VALUE=DATE:20261224', 'STATUS:CANCELLED'), []],
  [
    'what is tentative, and leaves people free, does',
    event('DTSTART;VALUE=DATE:20261224', 'STATUS:TENTATIVE', 'TRANSP:TRANSPARENT'),
    ['2026-12-24'],
  ],
  [
    'dates that are listed',
    event('DTSTART;VALUE=DATE:20260403', 'RDATE;VALUE=DATE:20270326,20280414'),
    ['2026-04-03', '2027-03-26', '2028-04-14'],
  ],
  [
    'periods that are listed',
    event(
      'DTSTART;TZID=Europe/Berlin:20260601T100000',
      'DURATION:PT1H',
      'RDATE;TZID=Europe/Berlin;VALUE=PERIOD:20260701T100000/P2D',
    ),
    ['2026-06-01', '2026-07-01', '2026-07-02', '2026-07-03'],
  ],
  [
    'an exception in UTC, others in a row before it',
    event(
      'DTSTART;TZID=Europe/Berlin:20260601T100000',
      'RRULE:FREQ=DAILY;COUNT=4',
      'EXDATE:20200101T000000Z',
      'EXDATE:20260602T080000Z',
      'EXDATE;VALUE=DATE:20260603',
    ),
    ['2026-06-01', '2026-06-04'],
  ],
  [
    'until is a time in UTC',
    event('DTSTART;TZID=Europe/Berlin:20260601T010000', 'RRULE:FREQ=DAILY;UNTIL=20260602T230000Z'),
    ['2026-06-01', '2026-06-02', '2026-06-03'],
  ],
  [
    'one of a series elsewhere, and one cancelled',
    event(
      'UID:a',
      'DTSTART;TZID=Europe/Berlin:20260601T100000',
      'DURATION:PT1H',
      'RRULE:FREQ=DAILY;COUNT=4',
    ) +
      event('UID:a', 'RECURRENCE-ID:20260602T080000Z', 'DTSTART;TZID=Europe/Berlin:20260610T100000') +
      event(
        'UID:a',
        'RECURRENCE-ID;TZID=Europe/Berlin:20260603T100000',
        'DTSTART;TZID=Europe/Berlin:20260603T100000',
        'STATUS:CANCELLED',
      ),
    ['2026-06-01', '2026-06-04', '2026-06-10'],
  ],
  [
    'from one of a series on',
    event('UID:a', 'DTSTART;VALUE=DATE:20260601', 'RRULE:FREQ=WEEKLY;COUNT=4') +
      event('UID:a', 'RECURRENCE-ID;RANGE=THISANDFUTURE;VALUE=DATE:20260615', 'DTSTART;VALUE=DATE:20260616'),
    ['2026-06-01', '2026-06-08', '2026-06-16', '2026-06-23'],
  ],
  [
    'one of a series that is not there',
    event('UID:a', 'RECURRENCE-ID;VALUE=DATE:20260615', 'DTSTART;VALUE=DATE:20260616'),
    ['2026-06-16'],
  ],
  [
    'a series of another event',
    event('UID:a', 'DTSTART;VALUE=DATE:20260601', 'RRULE:FREQ=WEEKLY;COUNT=2') +
      event('UID:b', 'RECURRENCE-ID;VALUE=DATE:20260608', 'DTSTART;VALUE=DATE:20260609'),
    ['2026-06-01', '2026-06-08', '2026-06-09'],
  ],
  [
    'the 30th of February is none',
    event('DTSTART;VALUE=DATE:20260128', 'RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30'),
    ['2026-01-28'],
  ],
  [
    'nor is it a day of March',
    event('DTSTART;VALUE=DATE:20260128', 'RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30'),
    ['2026-01-28'],
  ],
];

for (const [name, text, expected] of CASES)
  test(`calendars: ${name}`, (t) => {
    t.deepEqual(days(ics(text)), [...expected]);
  });

test('several calendars in one file, and events have their names', (t) => {
  const text =
    ics(event('DTSTART;VALUE=DATE:20261224', 'SUMMARY:Christmas\\, \n  the\u001b[31m eve')) +
    ics(event('DTSTART;VALUE=DATE:20261231'));
  t.deepEqual(daysOf(text, 'UTC', { from: FROM, to: TO }), [
    { from: '2026-12-24', to: '2026-12-24', why: 'Christmas, the [31m eve' },
    { from: '2026-12-31', to: '2026-12-31', why: 'an event without a name' },
  ]);
});

test('what cannot be followed is refused, and not passed over', (t) => {
  const refused: readonly [string, RegExp][] = [
    ['', /no VCALENDAR/],
    ['hello', /hello/],
    ['BEGIN:VCARD\r\nEND:VCARD\r\n', /no VCALENDAR/],
    ['BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n', /did not end|not ended|invalid/i],
    [ics(event('SUMMARY:Off')), /"Off": it has no DTSTART/],
    [ics(event('SUMMARY:Off', 'DTSTART;VALUE=DATE:soon')), /"Off"/],
    [
      ics(event('SUMMARY:Off', 'DTSTART;TZID=Nowhere:20260601T100000')),
      /"Off": it names the time zone "Nowhere", and/,
    ],
    [ics(event('SUMMARY:Off', 'DTSTART:20260601T100000', 'RRULE:FREQ=SECONDLY')), /recurs too often/],
    [ics(event('SUMMARY:Off', 'DTSTART:20260601T100000', 'RRULE:FREQ=SOMETIMES')), /FREQ|freq/],
    [
      ics(event('SUMMARY:Off', 'DTSTART;VALUE=DATE:20260217', 'RRULE:RSCALE=CHINESE;FREQ=YEARLY')),
      /calendar CHINESE/,
    ],
  ];
  for (const [text, says] of refused)
    t.throws(() => daysOf(text, 'UTC', { from: FROM, to: TO }), { message: says }, text);
});
