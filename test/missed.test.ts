import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import { createEnvironment } from '../src/playbook/values/environment.ts';
import { once, type Scheduling } from '../src/schedule/schedule.ts';
import { workplace } from './helpers/cli.ts';
import { httpPlace, type Asked } from './helpers/http-place.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { MINUTE_MS, opened, windowScene } from './helpers/windows.ts';

const test = ava.serial;
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

const scene = (t: ExecutionContext, lines: string) => windowScene(t, server, lines);

const bodies = (asked: readonly Asked[]) =>
  asked.map(({ body }) => JSON.parse(body) as { event: string; message: string; next: string });

test('a window in which nothing was begun is told once, by whoever looks next', async (t) => {
  const place = await httpPlace(t);
  const { work, env } = await scene(
    t,
    `window: ${opened(10, 'duration: 1h, latest-start: 5m')}\nnotify: [webhook: { url: "\${HOOK_URL}", on: [missed] }]`,
  );
  const all = { ...env, HOOK_URL: place.url };
  const once = () => work.cutover(['schedule', 'playbook.yml', '--once'], all);
  // What was before anybody looked is nobody's fault.
  const first = await once();
  t.is(first.code, 0, first.err);
  t.is(place.asked.length, 0);
  const file = join(work.folder, '.cutover/windows/shop.json');
  const kept = JSON.parse(await readFile(file, 'utf8')) as { watched: string };
  const earlier = new Date(Date.parse(kept.watched) - 60 * MINUTE_MS).toISOString();
  await writeFile(file, JSON.stringify({ ...kept, watched: earlier }));
  const second = await once();
  t.is(second.code, 0, second.err);
  t.regex(second.err, /shop: its window \S+ UTC is over, and no run was begun in it/);
  const [{ event, message, next }] = bodies(place.asked) as [ReturnType<typeof bodies>[0]];
  t.is(event, 'missed');
  t.regex(message, /^shop: missed — its window \S+ UTC is over, and no run was begun in it$/);
  t.regex(next, /cutover windows \S*playbook\.yml/);
  await once();
  t.is(place.asked.length, 1);
  const long = new Date(Date.parse(kept.watched) - 3 * 24 * 60 * MINUTE_MS).toISOString();
  await writeFile(file, JSON.stringify({ ...kept, watched: long }));
  await once();
  t.regex(
    bodies(place.asked)[1]!.message,
    /^shop: missed — 3 of its windows are over, .*; the last was \S+ UTC$/,
  );
});

test('a window that was used is not missed, and a run whose process is killed is told of by the scheduler', async (t) => {
  const place = await httpPlace(t);
  const { work, env } = await scene(
    t,
    `window: ${opened(2, 'duration: 1h')}\nnotify: [webhook: { url: "\${HOOK_URL}", on: [missed, failed] }]\nhooks: [{ before: clone, run: 'kill -9 $PPID' }]`,
  );
  const all = { ...env, HOOK_URL: place.url };
  const { code, err } = await work.cutover(['schedule', 'playbook.yml', '--once'], all);
  t.is(code, 1, err);
  t.regex(err, /the run ended with a signal/);
  t.deepEqual(
    bodies(place.asked).map(({ event, message }) => [event, message.replace(/shop_\w+ is/, '# is')]),
    [
      ['failed', 'shop: died — the process of its run was killed in the middle of it'],
      ['failed', 'shop: failed, and was put back: # is live as before — the run was aborted'],
    ],
  );
  const file = join(work.folder, '.cutover/windows/shop.json');
  const kept = JSON.parse(await readFile(file, 'utf8')) as { watched: string };
  const earlier = new Date(Date.parse(kept.watched) - 60 * MINUTE_MS).toISOString();
  await writeFile(file, JSON.stringify({ ...kept, watched: earlier }));
  await work.file(
    'playbook.yml',
    (await readFile(join(work.folder, 'playbook.yml'), 'utf8')).replace('duration: 1h', 'duration: 1m'),
  );
  const later = await work.cutover(['schedule', 'playbook.yml', '--once'], all);
  t.is(later.code, 0, later.err);
  t.notRegex(later.err, /is over, and no run/);
  t.is(place.asked.length, 2);
});

test('a playbook that could not be read while its window was open is told of by the settings of before', async (t) => {
  const work = await workplace(t);
  const text = `version: 1\nname: shop\nblue: postgresql://me@localhost/shop\nwindow: ${opened(10, 'duration: 1h, latest-start: 5m')}\nswitch: { targets: [database-rename] }\n`;
  const path = await work.file('playbook.yml', text);
  const told: string[] = [];
  const scheduling: Scheduling = {
    places: [work.folder],
    env: createEnvironment({}),
    stateFolder: join(work.folder, 'state'),
    signal: new AbortController().signal,
    held: () => Promise.resolve(undefined),
    tell: (playbook, untold) => void told.push(`${playbook.name} ${untold.kind}`),
    now: Date.now,
    jobs: 1,
    left: () => Promise.resolve([]),
    command: () => Promise.reject(new Error('nothing is to be run')),
    unsettled: true,
    onBeat: () => undefined,
    known: new Map(),
    say: () => undefined,
  };
  t.is(await once(scheduling), 0);
  await writeFile(path, 'version: 1\nname: shop\nwindow:\n');
  const file = join(work.folder, 'state/windows/shop.json');
  const kept = JSON.parse(await readFile(file, 'utf8')) as { watched: string };
  const earlier = new Date(Date.parse(kept.watched) - 60 * MINUTE_MS).toISOString();
  await writeFile(file, JSON.stringify({ ...kept, watched: earlier }));
  t.is(await once(scheduling), 0);
  t.deepEqual(told, ['shop missed']);
});
