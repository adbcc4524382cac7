import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ava from 'ava';
import { workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { MINUTE_MS, opened, windowScene } from './helpers/windows.ts';

const test = ava.serial;
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

const allDay = (day: string, name: string, more = ''): string =>
  `BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:a\r\nDTSTART;VALUE=DATE:${day.replaceAll('-', '')}\r\nSUMMARY:${name}\r\n${more}END:VEVENT\r\nEND:VCALENDAR\r\n`;

/** The day on which that window opened. */
const openedOn = (minutes: number): string =>
  new Date(Date.now() - minutes * MINUTE_MS).toISOString().slice(0, 10);

test('no run is made on a day of the calendar, nor without the calendar; what is in it counts from the next look on', async (t) => {
  const { work, env } = await windowScene(
    t,
    server,
    `window: ${opened(5, 'duration: 1h, except: [off.ics]')}`,
  );
  const once = () => work.cutover(['schedule', 'playbook.yml', '--once'], env);
  const none = await once();
  t.is(none.code, 0, none.err);
  t.regex(none.err, /playbook\.yml cannot be used: /);
  t.notRegex(none.err, /is open; everything/);
  const calendar = await work.file('off.ics', 'BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n');
  t.notRegex((await once()).err, /is open; everything/);
  await writeFile(calendar, allDay(openedOn(5), 'Stock taking'));
  const off = await once();
  t.is(off.code, 0, off.err);
  t.regex(off.err, /no window is open that was not used/);
  await writeFile(calendar, allDay(openedOn(5), 'Stock taking', 'STATUS:CANCELLED\r\n'));
  const on = await once();
  t.is(on.code, 0, on.err);
  t.regex(on.err, /the run ended with 0/);
});

const TEXT = (except: string): string =>
  `version: 1\nname: shop\nblue: postgresql://me@localhost/shop\nwindow:\n  - { cron: 30 3 * * *, timezone: Europe/Berlin, duration: 2h,\n      except: ${except} }\nswitch: { targets: [database-rename] }\n`;

test('a calendar that cannot be used is a mistake at its place in the playbook', async (t) => {
  const work = await workplace(t);
  await work.file('playbook.yml', TEXT('[2026-12-24, off.ics]'));
  const missing = await work.cutover(['validate', 'playbook.yml']);
  t.is(missing.code, 2);
  t.regex(
    missing.err + missing.out,
    /playbook\.yml:6:28 {2}window\[0\]\.except\[1\]: cannot be used as a calendar: there is no such file/,
  );
  const calendar = await work.file('off.ics', 'no calendar');
  t.regex(
    (await work.cutover(['validate', 'playbook.yml'])).err,
    /:6:28 .*cannot be used as a calendar: .*no calendar/,
  );
  await writeFile(calendar, Buffer.from([0x42, 0xff, 0xfe]));
  t.regex((await work.cutover(['validate', 'playbook.yml'])).err, /:6:28 .*it is not UTF-8 text/);
  await writeFile(calendar, `${allDay('2026-12-24', 'Eve')}${' '.repeat(1_000_000)}`);
  t.regex((await work.cutover(['validate', 'playbook.yml'])).err, /:6:28 .*larger than 1 MB/);
  await rm(calendar);
  await work.file('playbook.yml', TEXT('off.ics').replace('  - ', '    ').replace('off.ics', '[off.ics]'));
  t.regex(
    (await work.cutover(['validate', 'playbook.yml'])).err,
    /:6:16 {2}window\.except\[0\]: cannot be used/,
  );
  await work.file('playbook.yml', TEXT('[~/off.ics]'));
  t.regex((await work.cutover(['validate', 'playbook.yml'])).err, /:6:16 .*write a day, 2026-12-24/);
  await writeFile(calendar, allDay('2026-12-24', 'Eve'));
  await work.file('playbook.yml', TEXT('[off.ics, "${FILE}"]'));
  const good = await work.cutover(['validate', 'playbook.yml'], { FILE: join(work.folder, 'off.ics') });
  t.is(good.code, 0, good.err);
});

const day = (ahead: number): string =>
  new Date(Date.now() + ahead * 24 * 60 * MINUTE_MS).toISOString().slice(0, 10);

test('what is left out is shown between the openings, with what is on', async (t) => {
  const work = await workplace(t);
  await work.file('off.ics', allDay(day(1), 'Stock taking'));
  await work.file('playbook.yml', TEXT(`[${day(2)}, off.ics]`));
  const { code, out, err } = await work.cutover(['windows', 'playbook.yml', '--count', '4']);
  t.is(code, 0, err);
  const lines = out.trim().split('\n');
  t.is(lines.length, 6, out);
  const of = (text: string) => lines.find((line) => line.includes(text));
  t.regex(of(day(1))!, /^\w{3} \S+ 03:30 Europe\/Berlin {3}does not open: Stock taking \(off\.ics\)$/);
  t.true(of(day(2))!.endsWith(`does not open: ${day(2)}`));
  t.deepEqual(
    lines.map((line) => line.slice(4, 14)),
    lines.map((line) => line.slice(4, 14)).toSorted(),
  );
  const json = JSON.parse((await work.cutover(['windows', 'playbook.yml', '--json'])).out) as {
    key: string;
  }[];
  t.false(json.some(({ key }) => key.startsWith(day(1)) || key.startsWith(day(2))));
});

test('an approval holds whatever the calendar says, and a plan is the same', async (t) => {
  const { work, env } = await windowScene(
    t,
    server,
    `approval: required\nwindow: ${opened(5, 'duration: 1h, except: [off.ics]')}`,
  );
  const calendar = await work.file('off.ics', allDay('2026-12-24', 'Eve'));
  const approved = await work.cutover(['approve', 'playbook.yml', '--yes'], env);
  t.is(approved.code, 0, approved.err);
  const planned = async (): Promise<{ fingerprint: string }> =>
    JSON.parse((await work.cutover(['plan', 'playbook.yml', '--json'], env)).out) as { fingerprint: string };
  const before = await planned();
  await writeFile(calendar, allDay('2026-12-25', 'Christmas'));
  t.is((await planned()).fingerprint, before.fingerprint);
  t.truthy(before.fingerprint);
  const { out } = await work.cutover(['plan', 'playbook.yml'], env);
  t.regex(out, /it holds, and nothing changed/);
  const run = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
  t.is(run.code, 0, run.err);
  t.regex(run.err, /the run ended with 0/);
});
