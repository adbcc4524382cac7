import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { eventsOf, workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { MINUTE_MS, opened, windowScene } from './helpers/windows.ts';
import { until } from './helpers/until.ts';

const test = ava.serial;
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

async function scene(
  t: ExecutionContext,
  window: string,
  migration = 'create table made (id int primary key)',
) {
  const made = await windowScene(t, server, `window: ${window}\nmigrate: [sql: { directory: . }]`);
  await made.work.file('V001__made.sql', `${migration};\n`);
  return made;
}

/** Each waits for the other one, and gives up on it after a while. */
const meets = (own: string, their: string): string =>
  `hooks: [{ before: clone, run: 'touch ${own}; for i in $(seq 300); do test -e ${their} && exit 0; sleep 0.1; done; exit 1', timeout: 1m }]`;

test('as many runs at a time as --jobs says, and one of a database', async (t) => {
  const { work, env } = await scene(t, opened(2, 'duration: 1h'));
  const other = await server.database();
  await server.sql('create table shops (id int primary key)', other);
  const text = await readFile(join(work.folder, 'playbook.yml'), 'utf8');
  const one = text.replace('gate: open', `gate: open\n${meets('a', 'b')}`);
  await work.file('one.yml', one);
  await work.file(
    'two.yml',
    text
      .replace('name: shop', 'name: other')
      .replace('DATABASE_URL', 'OTHER_URL')
      .replace('gate: open', `gate: open\n${meets('b', 'a')}`),
  );
  // Of the same database as the first one: it has to wait for that.
  await work.file('three.yml', text.replace('name: shop', 'name: later'));
  const all = { ...env, OTHER_URL: server.url(other) };
  const places = ['one.yml', 'three.yml', 'two.yml'];
  const made = await work.cutover(['schedule', ...places, '--once', '--jobs', '3'], all);
  for (const name of ['shop', 'other']) t.regex(made.err, new RegExp(`${name}: the run ended with 0`));
  t.true(
    made.err.indexOf('later: its window') > made.err.indexOf('shop: the run ended'),
    'two runs of one database at a time',
  );
});

test('a window that is open is used once, also by whoever comes later', async (t) => {
  const { work, env } = await scene(t, opened(2, 'duration: 1h'));
  const first = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
  t.is(first.code, 0, first.err);
  t.regex(first.err, /shop: its window \S+ UTC is open; everything has to be over by /);
  t.regex(first.err, /shop: the run ended with 0/);
  const again = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
  t.is(again.code, 0);
  t.regex(again.err, /no window is open that was not used; the next window opens at \S+: shop, /);
  const { used } = JSON.parse(await readFile(join(work.folder, '.cutover/windows/shop.json'), 'utf8')) as {
    used: { exit: number }[];
  };
  t.deepEqual(
    used.map(({ exit }) => exit),
    [0],
  );
  await writeFile(join(work.folder, '.cutover/windows/shop.json'), '{');
  const damaged = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
  t.is(damaged.code, 4);
  t.regex(damaged.err, /which windows were used cannot be read/);
});

test('two windows that are open at the same time are used by one run', async (t) => {
  const { work, env } = await scene(t, `[${opened(2, 'duration: 1h')}, ${opened(3, 'duration: 2h')}]`);
  const { code, err } = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
  t.is(code, 0, err);
  t.is(err.match(/the run ended with/g)?.length, 1);
  t.regex((await work.cutover(['schedule', 'playbook.yml', '--once'], env)).err, /no window is open/);
});

test('a window that nobody may begin in any more, or that is excepted, is let go by', async (t) => {
  const today = new Date(Date.now() - 10 * MINUTE_MS).toISOString().slice(0, 10);
  for (const window of [
    opened(10, 'duration: 1h, latest-start: 5m'),
    opened(10, `duration: 1h, except: ["${today}"]`),
    opened(10, 'duration: 9m'),
  ]) {
    const { work, env } = await scene(t, window);
    const { code, err } = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
    t.is(code, 0, err);
    t.regex(err, /no window is open that was not used/);
  }
});

const at = (ms: number): string => new Date(Date.now() + ms).toISOString();

test('what does not fit into the time is not begun, or is put back', async (t) => {
  const { work, env, name } = await scene(t, opened(1, 'duration: 1h'), 'select pg_sleep(60)');
  const late = await work.cutover(['run', 'playbook.yml', '--until', at(50)], env);
  t.is(late.code, 3, late.err);
  t.regex(late.err, /everything has to be over by .* and the switch needs .*: it is too late to begin/);
  const wrong = await work.cutover(['run', 'playbook.yml', '--until', 'sunday'], env);
  t.is(wrong.code, 2);
  const started = Date.now();
  const over = await work.cutover(['run', 'playbook.yml', '--until', at(6000)], env);
  t.is(over.code, 4, over.err);
  t.true(Date.now() - started < 15_000);
  t.regex(over.err, /The time is over: [^]*is live; run again in the next window/);
  t.is((await server.sql('select count(*) as n from shops', name))[0]!['n'], '1');
  t.deepEqual(await server.sql(`select 1 from pg_database where datname = '${name}_green'`), []);
});

test('a daemon makes the run, goes on without it, and does not make it twice when it is started again', async (t) => {
  const { work, env } = await scene(t, opened(2, 'duration: 1h'));
  const daemon = work.start(['schedule', '.'], env);
  await until('the run', async () => (await eventsOf(work).catch(() => [])).at(-1)?.type === 'run-finished');
  await sleep(500);
  t.is(daemon.child.exitCode, null);
  daemon.child.kill('SIGTERM');
  const { code, err } = await daemon.done;
  t.is(code, 0, err);
  t.regex(err, /the run ended with 0[^]*the next window opens at/);
  const second = work.start(['schedule', '.'], env);
  await sleep(2500);
  second.child.kill('SIGTERM');
  t.notRegex((await second.done).err, /is open; everything/);
});

test('a signal in the middle of a run puts it back before the daemon ends', async (t) => {
  const { work, env, name } = await scene(t, opened(2, 'duration: 1h'), 'select pg_sleep(60)');
  const { child, done } = work.start(['schedule', 'playbook.yml'], env);
  await until('the migration', async () =>
    (await eventsOf(work).catch(() => [])).some(
      (event) => event.type === 'step-started' && event.step.startsWith('migrate'),
    ),
  );
  child.kill('SIGTERM');
  const { code, err } = await done;
  t.is(code, 0, err);
  t.regex(err, /the run ended with 143/);
  const last = (await eventsOf(work)).at(-1)!;
  t.is(last.type === 'run-finished' && last.outcome, 'unwound');
  t.deepEqual(await server.sql(`select 1 from pg_database where datname = '${name}_green'`), []);
});

test('a folder: what cannot be used is told, and the rest is', async (t) => {
  const { work, env } = await scene(t, opened(2, 'duration: 1h'));
  await work.file('broken.yml', 'version: 1\nname: broken\n');
  await work.file(
    'none.yml',
    'version: 1\nname: none\nblue: ${DATABASE_URL}\nswitch: { targets: [database-rename] }\n',
  );
  const { code, err } = await work.cutover(['schedule', '.', '--once'], env);
  t.is(code, 0, err);
  t.regex(err, /broken\.yml cannot be used: /);
  t.notRegex(err, /none/);
  t.is((await work.cutover(['schedule', 'nowhere', '--once'], env)).code, 2);
});

const file = (window: string): string =>
  `version: 1\nname: shop\nblue: postgresql://me@localhost/shop\nwindow:\n${window}switch: { targets: [database-rename] }\n`;

test('windows are printed by both clocks, and clock changes are marked', async (t) => {
  const work = await workplace(t);
  const berlin = '  - { cron: 30 2 * 3 SUNL, timezone: Europe/Berlin, duration: 90m, latest-start: 30m }\n';
  await work.file('a.yml', file(`${berlin}  - { cron: 0 0 1 1 *, timezone: UTC, duration: 1d }\n`));
  const { code, out, err } = await work.cutover(['windows', 'a.yml', '--count', '4'], { TZ: 'Asia/Kolkata' });
  t.is(code, 0, err);
  const lines = out.trim().split('\n');
  t.is(lines.length, 4);
  t.true(
    lines.some((line) =>
      /^Sun \d{4}-03-\d\d 03:00 to 04:30 Europe\/Berlin {3}Sun \S+ 06:30 to 08:00 Asia\/(?:Kolkata|Calcutta) {3}begins by 03:30 {3}the clock skips 02:30$/.test(
        line,
      ),
    ),
    out,
  );
  t.true(
    lines.some((line) => /^\w{3} \d{4}-01-01 00:00 to \w{3} \d{4}-01-02 00:00 UTC /.test(line)),
    out,
  );
  const json = JSON.parse((await work.cutover(['windows', 'a.yml', '--json'])).out) as { key: string }[];
  t.is(json.length, 10);
  t.is((await work.cutover(['windows', 'a.yml', '--count', '0'])).code, 2);
  await work.file('b.yml', file('').replace('window:\n', ''));
  const none = await work.cutover(['windows', 'b.yml']);
  t.is(none.code, 2);
  t.regex(none.err, /the playbook has no window[^]*window: \{ cron/);
});

test('mistakes in a window are shown where they are', async (t) => {
  const work = await workplace(t);
  const mistakes: [string, RegExp][] = [
    ['{ cron: "61 3 * * *", timezone: UTC, duration: 2h }', /:4:17[^]*61/],
    ['{ cron: "0 3 1-7 * SUN", timezone: UTC, duration: 2h }', /the first Sunday is SUN#1/],
    ['{ cron: "0 0 3 * * *", timezone: UTC, duration: 2h }', /five fields/],
    ['{ cron: "0 3 * * *", timezone: Europe/Berlim, duration: 2h }', /is no time zone/],
    ['{ cron: "0 3 * * *", timezone: UTC, duration: 2h, latest-start: 3h }', /later than the window closes/],
    ['{ cron: "0 3 * * *", timezone: UTC, duration: 2h, except: [2026-02-30] }', /write a day, 2026-12-24/],
    ['{ cron: "0 3 * * *", timezone: UTC }', /duration/],
  ];
  for (const [window, says] of mistakes) {
    await work.file(
      'playbook.yml',
      `version: 1\nname: shop\nblue: postgresql://me@localhost/shop\nwindow: ${window}\nswitch: { targets: [database-rename] }\n`,
    );
    const { code, err, out } = await work.cutover(['validate', 'playbook.yml']);
    t.is(code, 2, window);
    t.regex(err + out, says);
    t.regex(err + out, /playbook\.yml:4:/);
  }
});
