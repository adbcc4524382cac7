import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Notice, NoticeState, Notifier } from '../src/core/drivers/notice.ts';
import { notices } from '../src/notices/registry.ts';
import { Outbox } from '../src/run/notify/outbox.ts';
import { watched } from '../src/run/notify/watch.ts';
import type { Screen } from '../src/run/screen/screen.ts';
import { stamp, wholeLife } from './helpers/events.ts';
import { httpPlace, type HttpPlace } from './helpers/http-place.ts';
import { until } from './helpers/until.ts';

const notice = (event: NoticeState, message: string = event): Notice => ({
  event,
  playbook: 'shop',
  run: 'r1',
  outcome: 'running',
  exit: undefined,
  message,
  next: 'nothing',
  at: new Date(0).toISOString(),
});

const opened = (url: string, more: object = {}): Notifier => open('webhook', { url, ...more });

function open(name: string, options: object): Notifier {
  const driver = notices[name]!;
  return driver.open(driver.options.parse(options), {
    folder: process.cwd(),
    env: {},
    resolve: (text) => text,
  });
}

const events = ({ asked }: HttpPlace): string[] =>
  asked.map(({ body }) => (JSON.parse(body) as Notice).event);

function box(t: ExecutionContext, ...notifiers: Notifier[]): { outbox: Outbox; said: string[] } {
  const said: string[] = [];
  t.teardown(() => outbox.end(AbortSignal.abort(), 0));
  const outbox = new Outbox(notifiers, (line) => void said.push(line));
  return { outbox, said };
}

test('the end is bounded, whatever hangs and whoever does not listen', async (t) => {
  const place = await httpPlace(t, () => undefined);
  const deaf: Notifier = {
    place: 'deaf',
    on: ['started'],
    timeout: 600_000,
    send: () => new Promise(() => undefined),
  };
  const { outbox, said } = box(t, opened(place.url, { timeout: '5m' }), deaf);
  outbox.post(notice('started'));
  outbox.post(notice('switched'));
  await until('the question', () => place.asked.length === 1);
  await outbox.end(undefined, 100);
  t.is(outbox.pending, 0);
  t.deepEqual(said.filter((line) => line.startsWith('The notice')).toSorted(), [
    'The notice "started" could not be delivered by deaf: the command was at its end',
    `The notice "started" could not be delivered by webhook ${place.url}: the command was at its end`,
    `The notice "switched" could not be delivered by webhook ${place.url}: the command was at its end`,
  ]);
  t.deepEqual(events(place), ['started']);
});

test('no answer in time counts as none, and is tried again', async (t) => {
  const place = await httpPlace(t, (response, _asked, count) => count > 1 && response.end());
  const { outbox, said } = box(t, opened(place.url, { timeout: '300ms' }));
  outbox.post(notice('started'));
  await outbox.end();
  t.is(place.asked.length, 2);
  t.deepEqual(
    said.filter((line) => line.startsWith('The notice')),
    [],
  );
});

test('after three retries it is told, once, and the next one is sent all the same', async (t) => {
  const place = await httpPlace(t, (response, { body }) =>
    response.writeHead(body.includes('"started"') ? 503 : 200).end(),
  );
  const { outbox, said } = box(t, opened(place.url));
  outbox.post(notice('started'));
  outbox.post(notice('switched'));
  await outbox.end();
  t.deepEqual(events(place), ['started', 'started', 'started', 'started', 'switched']);
  t.deepEqual(
    said.filter((line) => line.startsWith('The notice')),
    [`The notice "started" could not be delivered by webhook ${place.url}: it answered 503`],
  );
});

const nothing = (): void => undefined;

test('from the beginning of the switch to its end nothing is sent', async (t) => {
  const place = await httpPlace(t);
  const { outbox } = box(t, opened(place.url));
  const screen = watched(
    {
      start: nothing,
      event: nothing,
      progress: nothing,
      summary: nothing,
      settle: () => Promise.resolve(),
      end: () => Promise.resolve(),
    } satisfies Screen,
    outbox,
    { spell: (text) => text },
  );
  const all = stamp(wholeLife);
  const moves = all.findIndex((event) => event.type === 'step-started' && event.step === 'switch');
  for (const event of all.slice(0, moves + 1)) screen.event(event);
  outbox.post(notice('gate'));
  await sleep(300);
  t.deepEqual(events(place), []);
  for (const event of all.slice(moves + 1)) screen.event(event);
  await until('all of them', () => place.asked.length === 4);
  t.deepEqual(events(place), ['started', 'gate', 'switched', 'swapped-back']);
});

test('only those who asked for a state are told of it', async (t) => {
  const [one, other] = [await httpPlace(t), await httpPlace(t)];
  const { outbox } = box(t, opened(one.url, { on: ['failed'] }), opened(other.url));
  outbox.post(notice('started'));
  outbox.post(notice('failed'));
  await outbox.end();
  t.deepEqual(events(one), ['failed']);
  t.deepEqual(events(other), ['started', 'failed']);
});

test('a mail server that says nothing, or goes away, throws nothing at anybody', async (t) => {
  let connected = 0;
  const silent = createServer((socket) => {
    connected += 1;
    socket.on('error', () => undefined);
    // The first ones wait; the others are cut in the middle of a word.
    if (connected > 2) socket.end('220 he', () => socket.destroy());
  }).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  const mail = { smtp: `smtp://127.0.0.1:${port}`, from: 'a@example.com', to: ['b@example.com'] };
  const { outbox, said } = box(t, open('email', { ...mail, timeout: '300ms' }));
  outbox.post(notice('started'));
  await outbox.end();
  t.is(connected, 4);
  const lines = said.filter((line) => line.startsWith('The notice'));
  t.is(lines.length, 1);
  t.regex(lines[0]!, /^The notice "started" could not be delivered by email to b@example\.com: \S/);
});

test('what Slack reads as signs is escaped, and user and password of an address become a header', async (t) => {
  const place = await httpPlace(t);
  const url = place.url.replace('http://', 'http://me:pa%20ss@');
  const { outbox } = box(t, opened(url, { format: 'slack' }));
  outbox.post(notice('failed', 'a <b> & c'));
  await outbox.end();
  const [{ body, headers }] = place.asked as [(typeof place.asked)[0]];
  t.deepEqual(JSON.parse(body), { text: 'a &lt;b&gt; &amp; c\nNext: nothing' });
  t.is(headers.authorization, `Basic ${Buffer.from('me:pa ss').toString('base64')}`);
});

test('a ping tells of a swap back that nobody asked for, and each address of its own is asked for its own', async (t) => {
  const place = await httpPlace(t);
  const whole = open('ping', { url: `${place.url}/x/` });
  const parts = open('ping', { start: `${place.url}/begun`, success: `${place.url}/well` });
  const { outbox } = box(t, whole, parts);
  for (const one of [
    notice('started'),
    notice('switched'),
    { ...notice('swapped-back'), exit: 0 },
    { ...notice('swapped-back'), exit: 6 },
    notice('missed'),
    notice('gate'),
  ])
    outbox.post(one);
  await outbox.end();
  const paths = place.asked.map(({ path }) => path);
  t.deepEqual(
    paths.filter((path) => path.startsWith('/x/')),
    ['/x/start', '/x/', '/x/fail', '/x/fail'],
  );
  t.deepEqual(
    paths.filter((path) => !path.startsWith('/x/')),
    ['/begun', '/well'],
  );
});
