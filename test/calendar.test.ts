import test from 'ava';
import { Cron } from 'croner';
import * as fc from 'fast-check';
import type { MaintenanceWindow } from '../src/core/playbook.ts';
import { nextOpenings, openingsOf, openNow } from '../src/schedule/calendar.ts';
import { Zone } from '../src/util/time/zone.ts';

const HOUR_MS = 3_600_000;
const windowOf = (
  cron: string,
  timezone: string,
  rest: Partial<MaintenanceWindow> = {},
): MaintenanceWindow => ({
  cron,
  timezone,
  duration: 60_000,
  latestStart: undefined,
  prepare: false,
  tooShort: 'unwind',
  except: [],
  ...rest,
});

const ZONES = [
  'UTC',
  'America/New_York',
  'Europe/Berlin',
  'Australia/Lord_Howe',
  'Asia/Kolkata',
  'Pacific/Apia',
  'Europe/London',
  'America/Sao_Paulo',
  'Pacific/Chatham',
  'Africa/Casablanca',
];
const FROM = Date.UTC(2024, 0, 1);
const TO = Date.UTC(2034, 0, 1);

const iso = (list: readonly number[]): string[] => list.map((each) => new Date(each).toISOString());

/** What another implementation says, over ten years. */
function oracle(cron: string, timezone: string): number[] {
  const job = new Cron(cron, { timezone, paused: true });
  const found: number[] = [];
  for (let at = job.nextRun(new Date(FROM)); at && at.getTime() < TO; at = job.nextRun(at))
    found.push(at.getTime());
  return found;
}

function ours(cron: string, timezone: string): number[] {
  const found: number[] = [];
  for (let from = FROM; from < TO;) {
    const before = found.length;
    for (const { opens } of openingsOf(windowOf(cron, timezone), from)) {
      if (opens >= TO) break;
      if (opens > Math.max(FROM, found.at(-1) ?? 0)) found.push(opens);
    }
    if (found.length === before) break;
    from = found.at(-1)! + 60_000;
  }
  return found;
}

// Around every clock change that these places have: half past one, half past two, midnight.
const PATTERNS = [
  '30 1 * * *',
  '30 2 * * *',
  '0 0 * * *',
  '15 3 * * SUN',
  '45 23 L * *',
  '30 2 * * SUN#1',
  '0 4 1,15 * *',
];
for (const zone of ZONES)
  test(`the calendar of ten years agrees with another implementation: ${zone}`, (t) => {
    for (const pattern of PATTERNS) {
      const [found, expected] = [ours(pattern, zone), oracle(pattern, zone)];
      t.true(expected.length > 100);
      const mine = new Set(found);
      const theirs = new Set(expected);
      t.deepEqual(
        {
          more: iso(found.filter((each) => !theirs.has(each))),
          fewer: iso(expected.filter((each) => !mine.has(each))),
        },
        { more: [], fewer: [] },
        `${pattern} in ${zone}`,
      );
    }
  });

const berlin = (cron: string, day: string): string[] =>
  nextOpenings([windowOf(cron, 'Europe/Berlin')], Date.parse(`${day}T00:00+00:00`) - 2 * HOUR_MS, 3)
    .filter(({ key }) => key.startsWith(day))
    .map(({ opens }) => new Date(opens).toISOString());

test('a skipped hour shifts forward, a repeated one counts once', (t) => {
  // 02:30 was not there: the clock jumped from 02:00 to 03:00.
  t.deepEqual(berlin('30 2 * * *', '2026-03-29'), ['2026-03-29T01:00:00.000Z']);
  // 02:30 was there twice.
  t.deepEqual(berlin('30 2 * * *', '2026-10-25'), ['2026-10-25T00:30:00.000Z']);
  // What was shifted on another's time is one opening with it.
  t.deepEqual(berlin('0,30 2,3 * * *', '2026-03-29'), [
    '2026-03-29T01:00:00.000Z',
    '2026-03-29T01:30:00.000Z',
  ]);
});

test('whatever the clock does: a civil time that is shown is found, and the first of two', (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(...ZONES),
      fc.integer({ min: FROM / 60_000, max: TO / 60_000 }),
      (name, minute) => {
        const zone = new Zone(name);
        const instant = minute * 60_000;
        const found = zone.instant(zone.civil(instant));
        t.is(zone.civil(found), zone.civil(instant));
        t.true(found <= instant);
      },
    ),
    { numRuns: 2000 },
  );
});

const at = (text: string): number => Date.parse(text);

test('excepted days, the time until which something may be begun, and several windows', (t) => {
  const nightly = windowOf('30 3 * * *', 'Europe/Berlin', {
    duration: 2 * HOUR_MS,
    latestStart: HOUR_MS / 2,
    except: [
      { from: '2026-12-24', to: '2026-12-26', why: '' },
      { from: '2026-12-31', to: '2026-12-31', why: '' },
    ],
  });
  t.deepEqual(
    nextOpenings([nightly], at('2026-12-23T12:00Z'), 5).map(({ key }) => key.slice(0, 10)),
    ['2026-12-27', '2026-12-28', '2026-12-29', '2026-12-30', '2027-01-01'],
  );
  const keys = (now: string, ...windows: MaintenanceWindow[]): string[] =>
    openNow(windows, at(now)).map(({ key }) => key);
  t.deepEqual(keys('2026-11-20T02:29:59Z', nightly), []);
  t.deepEqual(keys('2026-11-20T02:30:00Z', nightly), ['2026-11-20T03:30 Europe/Berlin']);
  t.deepEqual(keys('2026-11-20T02:59:59Z', nightly), ['2026-11-20T03:30 Europe/Berlin']);
  // Still open, and too late to begin.
  t.deepEqual(keys('2026-11-20T03:00:00Z', nightly), []);
  const whole = windowOf('0 0 * * *', 'UTC', { duration: 24 * HOUR_MS });
  t.deepEqual(keys('2026-11-20T02:45:00Z', nightly, whole), [
    '2026-11-20T00:00 UTC',
    '2026-11-20T03:30 Europe/Berlin',
  ]);
});
