import { createHmac } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import type { Event } from '../src/core/event.ts';
import { fold } from '../src/journal/fold.ts';
import { withoutSecrets } from '../src/journal/redact-event.ts';
import { noticeOf } from '../src/run/notify/notices.ts';
import { addSecret } from '../src/util/redact.ts';
import { eventsOf, workplace, type Outcome, type Workplace } from './helpers/cli.ts';
import { created, error, stamp, wholeLife } from './helpers/events.ts';
import { httpPlace, type Asked } from './helpers/http-place.ts';
import { LIVE_SETTINGS } from './helpers/live-scene.ts';
import { readOpenMetrics, valueOf } from './helpers/openmetrics.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { smtpPlace } from './helpers/smtp-place.ts';
import { until } from './helpers/until.ts';

const test = ava.serial;
let server: TestServer;
test.before(async () => {
  server = await testServer(18, LIVE_SETTINGS);
});
test.after.always(() => server?.stop());

interface Scene {
  readonly work: Workplace;
  readonly name: string;
  readonly env: Record<string, string>;
}

async function scene(t: ExecutionContext, notify: string, more = 'gate: open'): Promise<Scene> {
  const work = await workplace(t);
  const name = await server.database();
  await server.sql('create table shops (id int primary key); insert into shops values (1)', name);
  await work.file(
    'playbook.yml',
    `version: 1\nname: shop\nblue: \${DATABASE_URL}\n${more}\nnotify:\n${notify}switch: { targets: [database-rename] }\n`,
  );
  return { work, name, env: { DATABASE_URL: server.url(name) } };
}

interface Body {
  readonly event: string;
  readonly playbook: string;
  readonly run: string | null;
  readonly outcome: string;
  readonly exit: number | null;
  readonly message: string;
  readonly next: string;
  readonly at: string;
}
const bodyOf = ({ body }: Asked): Body => JSON.parse(body) as Body;

/** What the events of a run call for, one after the other. */
function told(bodies: Parameters<typeof stamp>[0]): string[] {
  const events: Event[] = stamp(bodies);
  return events.flatMap((event, index) => {
    const notice = noticeOf(event, fold(events.slice(0, index + 1)));
    return notice ? [`${notice.event} ${notice.outcome} ${notice.exit}`] : [];
  });
}

test('which events are told, and as what', (t) => {
  t.deepEqual(told(wholeLife), [
    'started running undefined',
    'switched completed 0',
    'swapped-back swapped back 0',
  ]);
  const swapped = wholeLife.slice(
    0,
    wholeLife.findIndex(({ type }) => type === 'retire-started'),
  );
  const onceMore = told([
    ...swapped,
    { type: 'swap-back-started', operator: 'me', acceptDataLoss: false, to: 'green' },
    { type: 'ownership-moved', from: 'blue', to: 'green' },
    { type: 'swap-back-finished', ms: 5, leftBehind: [] },
  ]);
  t.is(onceMore.at(-1), 'switched completed 0');
  const resumed: Parameters<typeof stamp>[0] = [
    created,
    { type: 'step-started', step: 'preflight' },
    { type: 'run-resumed', operator: 'me', from: 'preflight', found: [] },
  ];
  t.deepEqual(told(resumed), ['started running undefined', 'started running undefined']);
  const ends = ['unwound', 'refused', 'stuck'] as const;
  for (const outcome of ends)
    t.deepEqual(told([created, { type: 'run-finished', outcome, exit: 4, error }]), [
      'started running undefined',
      `failed ${outcome} 4`,
    ]);
  const back = wholeLife.slice(0, wholeLife.findIndex(({ type }) => type === 'swap-back-started') + 1);
  for (const settled of [true, false])
    t.is(
      told([...back, { type: 'swap-back-failed', error, settled }]).at(-1),
      `failed ${settled ? 'completed' : 'swapping back'} undefined`,
    );
});

test('a webhook hears of start, switch and swap back in their order, signed, with what to type next', async (t) => {
  const place = await httpPlace(t);
  const { work, env } = await scene(
    t,
    '  - webhook: { url: ${HOOK_URL}, secret: ${HOOK_SECRET}, headers: { x-team: shop } }\n',
  );
  const all = { ...env, HOOK_URL: `${place.url}/hook`, HOOK_SECRET: 'only-we-know' };
  const { code, err } = await work.cutover(['--state', 'kept', 'run', 'playbook.yml'], all);
  t.is(code, 0, err);
  const back = await work.cutover(['--state', 'kept', 'swap-back', '--yes'], all);
  t.is(back.code, 0, back.err);
  const bodies = place.asked.map(bodyOf);
  t.deepEqual(
    bodies.map(({ event, playbook, outcome, exit }) => [event, playbook, outcome, exit]),
    [
      ['started', 'shop', 'running', null],
      ['switched', 'shop', 'completed', 0],
      ['swapped-back', 'shop', 'swapped back', 0],
    ],
  );
  const [started, switched, swapped] = bodies as [Body, Body, Body];
  const { run } = switched;
  t.regex(started.message, new RegExp(`^shop: started — run ${run} by `));
  t.regex(started.next, new RegExp(`cutover --state kept status ${run} --watch`));
  t.regex(switched.message, /^shop: switched — green is live as \w+; the switch took \d+(\.\d)? m?s$/);
  t.regex(switched.next, new RegExp(`^to go back: cutover --state kept swap-back ${run};`));
  t.regex(swapped.next, new RegExp(`cutover --state kept retire ${run}`));
  for (const { headers, body, method } of place.asked) {
    const signature = createHmac('sha256', 'only-we-know').update(body).digest('hex');
    t.is(headers['x-cutover-signature'], `sha256=${signature}`);
    t.is(headers['x-team'], 'shop');
    t.is(headers['content-type'], 'application/json');
    t.is(method, 'POST');
    t.false(Number.isNaN(Date.parse((JSON.parse(body) as Body).at)));
  }
  t.notRegex(err + back.err, /notice|only-we-know/);
});

test('500 twice and then 200 is delivered; 404 and a redirect are not tried again, and told in one line', async (t) => {
  const place = await httpPlace(t, (response, { path }, count) => {
    if (path === '/T000/slack') return void response.writeHead(count <= 2 ? 500 : 200).end();
    if (path === '/moved') return void response.writeHead(302, { location: '/elsewhere' }).end();
    response.writeHead(404).end('no such hook');
  });
  const { work, env } = await scene(
    t,
    [
      '  - webhook: { url: "${SLACK}", format: slack, on: [started] }\n',
      '  - webhook: { url: "${GONE}", on: [switched] }\n',
      '  - webhook: { url: "${MOVED}", on: [switched] }\n',
    ].join(''),
  );
  const slow = await httpPlace(t, (response, _asked, count) =>
    response.writeHead(count <= 2 ? 500 : 200).end(),
  );
  const urls = {
    SLACK: `${slow.url}/T000/slack`,
    GONE: `${place.url}/gone-4711`,
    MOVED: `${place.url}/moved`,
  };
  const { code, err } = await work.cutover(['run', 'playbook.yml'], { ...env, ...urls });
  t.is(code, 0, err);
  t.is(slow.asked.length, 3);
  const texts = slow.asked.map(({ body }) => JSON.parse(body) as { text: string });
  t.regex(texts[2]!.text, /^shop: started — run \S+ by \S+\nNext: to see how it goes on: cutover status /);
  t.deepEqual(texts[0], texts[2]);
  t.deepEqual(place.asked.map(({ path }) => path).toSorted(), ['/gone-4711', '/moved']);
  const lines = err.split('\n').filter((line) => line.includes('could not be delivered'));
  t.deepEqual(lines.toSorted(), [
    `The notice "switched" could not be delivered by webhook ${place.url}: it answered 302`,
    `The notice "switched" could not be delivered by webhook ${place.url}: it answered 404`,
  ]);
});

test('a webhook that hangs holds up no run, and a signal ends the waiting at the end with the run’s own exit code', async (t) => {
  const place = await httpPlace(t, () => undefined);
  const { work, env, name } = await scene(t, '  - webhook: { url: ${HOOK_URL}, timeout: 5m }\n');
  const { child, done } = work.start(['run', 'playbook.yml'], { ...env, HOOK_URL: place.url });
  let err = '';
  child.stderr!.on('data', (chunk: string) => (err += chunk));
  await until('the run', async () => (await eventsOf(work).catch(() => [])).at(-1)?.type === 'run-finished');
  // It was asked when the run began, and has not answered to this day.
  t.is(place.asked.length, 1);
  await until('the waiting', () => err.includes('Waiting for notices to be delivered'));
  t.is(child.exitCode, null);
  // Everything of the run is over: another one has the lock.
  const again = await work.cutover(['swap-back', '--yes', '--accept-data-loss'], {
    ...env,
    HOOK_URL: 'http://127.0.0.1:1/none',
  });
  t.is(again.code, 0, again.err);
  t.regex(again.err, /The notice "swapped-back" could not be delivered by webhook http:\/\/127\.0\.0\.1:1: /);
  child.kill('SIGTERM');
  const outcome = await done;
  t.is(outcome.code, 0, outcome.err);
  t.regex(outcome.err, /SIGTERM: notices that are not delivered yet are given up\./);
  t.is(outcome.err.match(/could not be delivered by webhook/g)?.length, 2, outcome.err);
  // All of the run was told before anybody waited, or gave up.
  const end = outcome.err.indexOf('Next  to go back');
  t.true(end > 0 && end < outcome.err.indexOf('Waiting for notices'), outcome.err);
  t.true(end < outcome.err.indexOf('could not be delivered'), outcome.err);
  t.is((await server.sql('select count(*) as n from shops', name))[0]!['n'], '1');
});

test('with sync, and somebody who does not answer: there, back, and there once more', async (t) => {
  const silent = await httpPlace(t, () => undefined);
  const place = await httpPlace(t);
  const { work, env } = await scene(
    t,
    '  - webhook: { url: "${SILENT_URL}", timeout: 1s, on: [started] }\n  - webhook: { url: "${HOOK_URL}" }\n',
    'gate: open\nsync: logical',
  );
  const all = { ...env, SILENT_URL: silent.url, HOOK_URL: place.url };
  for (const args of [
    ['run', 'playbook.yml'],
    ['swap-back', '--yes'],
    ['switch', '--yes'],
  ]) {
    const { code, err } = await work.cutover(args, all);
    t.is(code, 0, err);
  }
  t.true(silent.asked.length >= 1);
  const told = place.asked.map(bodyOf);
  t.deepEqual(
    told.map(({ event, outcome }) => [event, outcome]),
    [
      ['started', 'running'],
      ['switched', 'completed'],
      ['swapped-back', 'swapped back'],
      ['switched', 'completed'],
    ],
  );
  t.regex(told[1]!.message, /^shop: switched — green is live as \w+; clients were held for \S+ m?s$/);
  t.regex(told[2]!.next, /^to make green live once more: cutover switch /);
  t.regex(told[3]!.message, /^shop: switched once more — green is live as /);
  const metrics = readOpenMetrics((await work.cutover(['metrics'], env)).out);
  const moved = (await eventsOf(work)).find(
    (event) => event.type === 'step-succeeded' && event.step === 'switch',
  ) as Extract<Event, { type: 'step-succeeded' }>;
  const { ms } = moved.output as { ms: number };
  t.is(valueOf(metrics, 'cutover_pause_seconds', { step: 'switch' }), ms / 1000);
});

test('a command has the notice in its environment, and no connection string', async (t) => {
  const { work, env } = await scene(
    t,
    '  - command: { run: "env > said.$CUTOVER_EVENT", on: [switched, failed] }\n  - command: { run: "echo no good >&2; exit 3", on: [switched] }\n',
  );
  const more = { PGPASSWORD: 'never-mind', OTHER_URL: `${env['DATABASE_URL']}?x=1`, KEPT: 'yes' };
  const { code, err } = await work.cutover(['run', 'playbook.yml'], { ...env, ...more });
  t.is(code, 0, err);
  const said = await readFile(join(work.folder, 'said.switched'), 'utf8');
  const run = fold(await eventsOf(work)).run;
  for (const line of [
    'CUTOVER_EVENT=switched',
    `CUTOVER_RUN=${run}`,
    'CUTOVER_PLAYBOOK=shop',
    'CUTOVER_OUTCOME=completed',
    'CUTOVER_EXIT=0',
    'KEPT=yes',
  ])
    t.true(said.split('\n').includes(line), line);
  t.regex(said, /^CUTOVER_MESSAGE=shop: switched — /m);
  t.regex(said, /^CUTOVER_NEXT=to go back: cutover swap-back /m);
  t.notRegex(said, /postgresql:|DATABASE_URL|OTHER_URL|PGPASSWORD/);
  t.regex(
    err,
    /"switched" could not be delivered by command echo no good .*: it failed with exit code 3: no good$/m,
  );
  t.deepEqual(globSync('said.*', { cwd: work.folder }), ['said.switched']);
});

test('a mail by SMTP says what happened and what to type; one that is refused is not tried again', async (t) => {
  const place = await smtpPlace(t, (begun) => (begun === 1 ? '450 come later' : undefined));
  const strict = await smtpPlace(t, () => '550 not from you');
  const { work, env } = await scene(
    t,
    [
      '  - email: { smtp: "${SMTP_URL}", from: "Cutover <cutover@example.com>", to: [ops@example.com, dba@example.com], on: [switched] }\n',
      '  - email: { smtp: "${STRICT_URL}", from: cutover@example.com, to: [ops@example.com], on: [switched] }\n',
    ].join(''),
  );
  const smtp = {
    SMTP_URL: `smtp://mailer:Briefmarke-81@127.0.0.1:${place.port}`,
    STRICT_URL: `smtp://127.0.0.1:${strict.port}`,
  };
  const outcome = await work.cutover(['run', 'playbook.yml'], { ...env, ...smtp });
  t.is(outcome.code, 0, outcome.err);
  t.is(place.mails.length, 1);
  const [{ from, to, data, auth }] = place.mails as [(typeof place.mails)[0]];
  t.regex(from, /<cutover@example\.com>/);
  t.is(to.length, 2);
  t.is(auth, '\0mailer\0Briefmarke-81');
  t.regex(data, /^Subject: shop: switched \(completed\)$/m);
  const text = Buffer.from(
    data
      .slice(data.indexOf('\n\n'))
      .replaceAll('=\n', '')
      .replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString();
  t.regex(text, /shop: switched — green is live as/);
  t.regex(text, /Next: to go back: cutover swap-back /);
  t.is(place.begun(), 2);
  t.is(strict.begun(), 1);
  t.regex(outcome.err, /"switched" could not be delivered by email to ops@example\.com: .*550 not from you/);
  t.deepEqual(leaks(work, [outcome], ['Briefmarke-81']), []);
});

test('pings: start, success and failure, also of a run that was refused before it began', async (t) => {
  const place = await httpPlace(t);
  const { work, env } = await scene(t, '  - ping: { url: "${PING_URL}" }\n');
  const all = { ...env, PING_URL: `${place.url}/4f1c2c0e-aaaa-bbbb-cccc-0123456789ab?rid=1` };
  const pings = (): string[] =>
    place.asked.splice(0).map(({ method, path }) => `${method} ${path.replace(/^\/[\da-f-]{36}/, '')}`);
  t.is((await work.cutover(['run', 'playbook.yml'], all)).code, 0);
  t.deepEqual(pings(), ['GET /start?rid=1', 'GET ?rid=1']);
  const away = { ...all, DATABASE_URL: 'postgresql://me@127.0.0.1:1/shop' };
  t.is((await work.cutover(['run', 'playbook.yml'], away)).code, 3);
  t.deepEqual(pings(), ['GET /fail?rid=1']);
  t.is((await work.cutover(['swap-back', '--yes'], all)).code, 0);
  t.deepEqual(pings(), []);
});

test('a run that fails says how, and what it was refused for when there was no run', async (t) => {
  const place = await httpPlace(t);
  const { work, env } = await scene(
    t,
    '  - webhook: { url: "${HOOK_URL}", on: [failed] }\n  - ping: { failure: "${HOOK_URL}" }\n',
    'gate: open\nverify: [sql: { query: select 1, equals: 2 }]',
  );
  const all = { ...env, HOOK_URL: place.url };
  const posts = (): Body[] =>
    place.asked.splice(0).flatMap((one) => (one.method === 'POST' ? [bodyOf(one)] : []));
  const { code } = await work.cutover(['run', 'playbook.yml'], all);
  t.is(code, 5);
  t.is(place.asked.length, 2);
  const [failed, ...others] = posts();
  t.deepEqual(others, []);
  t.like(failed, { event: 'failed', outcome: 'unwound', exit: 5 });
  t.regex(failed!.message, /^shop: failed, and was put back: \w+ is live as before — verification found /);
  t.regex(failed!.next, /mend the migrations/);
  const away = { ...all, DATABASE_URL: 'postgresql://me@127.0.0.1:1/shop' };
  t.is((await work.cutover(['run', 'playbook.yml'], away)).code, 3);
  const [refused] = posts();
  t.like(refused, { event: 'failed', outcome: 'refused', exit: 3, run: null });
  t.regex(refused!.message, /^shop: refused, no run was begun — cannot connect/);
});

test('a gate calls for an answer, and with --yes nobody is called', async (t) => {
  const place = await httpPlace(t);
  const { work, env } = await scene(
    t,
    '  - webhook: { url: "${HOOK_URL}", on: [gate] }\n',
    'gate: { timeout: 10m, then: stop }',
  );
  const all = { ...env, HOOK_URL: place.url };
  const { done } = work.start(['run', 'playbook.yml'], all);
  await until('the call', () => place.asked.length > 0);
  const { message, next, run } = bodyOf(place.asked[0]!);
  t.regex(message, /^shop: waits for an answer — .*\(without an answer in 10 min 00 s it is no\)$/);
  t.regex(next, new RegExp(`^to answer: cutover approve ${run} or cutover reject ${run};`));
  t.is((await work.cutover(['reject'], env)).code, 0);
  t.is((await done).code, 4);
  t.is((await work.cutover(['run', 'playbook.yml', '--yes'], all)).code, 0);
  t.is(place.asked.length, 1);
});

test('what was killed is told of by whoever aborts it; without the variable nobody is, and that is said', async (t) => {
  const place = await httpPlace(t);
  const { work, env } = await scene(t, '  - webhook: { url: "${HOOK_URL}" }\n', 'gate: { timeout: 10m }');
  const all = { ...env, HOOK_URL: place.url };
  for (const given of [all, env]) {
    place.asked.length = 0;
    const { child, done } = work.start(['run', 'playbook.yml'], all);
    await until('the gate', () => place.asked.length === 2);
    child.kill('SIGKILL');
    await done;
    const { code, err } = await work.cutover(['abort'], given);
    t.is(code, 0, err);
    if (given === env) {
      t.regex(err, /^Nobody is told by webhook: HOOK_URL is not set/m);
      t.is(place.asked.length, 2);
    } else {
      t.like(bodyOf(place.asked[2]!), { event: 'failed', outcome: 'unwound' });
      t.is(place.asked.length, 3);
    }
  }
});

/** Lines of what was said or stored that hold one of the secrets. */
function leaks(work: Workplace, outcomes: readonly Outcome[], secrets: readonly string[]): string[] {
  const stored = globSync('.cutover/**/*.{jsonl,json}', { cwd: work.folder }).map((path) =>
    readFileSync(join(work.folder, path), 'utf8'),
  );
  return [...outcomes.map(({ out, err }) => out + err), ...stored]
    .flatMap((text) => text.split('\n'))
    .filter((line) => secrets.some((secret) => line.includes(secret)));
}

test('secrets of notices are nowhere, also when nothing can be delivered', async (t) => {
  const TOKENS = ['T0000AAAABBBBCCCCDDDD', 'Geheim-0815', 'Brief&marke', 'sig-ning-key', 'Bearer-4711'];
  const { work, env } = await scene(
    t,
    [
      '  - webhook: { url: "${SLACK_WEBHOOK}", format: slack, secret: "${SIGN}", headers: { authorization: "${AUTH}" }, timeout: 1s }\n',
      '  - ping: { url: "${PING}" , timeout: 1s }\n',
      '  - email: { smtp: "${SMTP}", from: a@example.com, to: [b@example.com], timeout: 1s }\n',
      '  - command: { run: "echo $AUTH; exit 1", on: [switched] }\n',
    ].join(''),
  );
  const all = {
    ...env,
    SLACK_WEBHOOK: 'http://127.0.0.1:1/services/T0000AAAABBBBCCCCDDDD',
    PING: 'http://me:Geheim-0815@127.0.0.1:1/ping',
    SMTP: `smtp://me:${encodeURIComponent('Brief&marke')}@127.0.0.1:1`,
    SIGN: 'sig-ning-key',
    AUTH: 'Bearer-4711',
  };
  const outcomes = [
    await work.cutover(['plan', 'playbook.yml', '--json'], all),
    await work.cutover(['run', 'playbook.yml', '--json'], all),
    await work.cutover(['status', '--json'], all),
    await work.cutover(['swap-back', '--yes'], all),
  ];
  t.deepEqual(
    outcomes.map(({ code }) => code),
    [0, 0, 0, 0],
    outcomes.map(({ err }) => err).join('\n'),
  );
  for (const place of [
    'webhook http://127.0.0.1:1',
    'ping http://127.0.0.1:1',
    'email to b@example.com',
    'command',
  ])
    t.true(outcomes[1]!.err.includes(`could not be delivered by ${place}`), place);
  t.deepEqual(leaks(work, outcomes, [...TOKENS, encodeURIComponent('Brief&marke')]), []);
});

test('what is sent is made from the letter of the playbook, whatever word is a secret', (t) => {
  addSecret('PAGER_HOOK');
  const notify = [{ driver: 'webhook', options: { url: '${PAGER_HOOK}' }, at: 'p.yml:4:5' }];
  t.deepEqual(withoutSecrets({ notify, other: '${PAGER_HOOK}' }), { notify, other: '${***}' });
});

test('mistakes in notify are shown where they are, and a literal token is one', async (t) => {
  const work = await workplace(t);
  const mistakes: [string, RegExp][] = [
    [
      'webhook: { url: "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx" }',
      /what looks like a token/,
    ],
    ['webhook: { url: "https://ops.example.com/hook", secret: plainly }', /a password does not belong/],
    ['webhook: { url: "ftp://x" }', /must be an address/],
    ['webhook: { url: "https://x.example", on: [sometimes] }', /notify\[0\]\.webhook\.on/],
    ['webhook: { url: "https://x.example", on: [] }', /notify\[0\]\.webhook\.on/],
    ['ping: { url: "https://x.example", start: "https://y.example" }', /give either url, or those of/],
    ['ping: { on: [started] }', /give either url, or those of/],
    ['ping: { url: "https://x.example", on: [gate] }', /notify\[0\]\.ping\.on/],
    ['email: { smtp: "https://x", from: a@b.example, to: [c@d.example] }', /must be a mail server/],
    [
      'email: { smtp: "smtp://a:pw@x.example", from: a@b.example, to: [c@d.example] }',
      /a password does not belong/,
    ],
    ['email: { smtp: "smtp://x.example", from: nobody, to: [c@d.example] }', /must be a mail address/],
    ['command: { run: "x", timeout: 1h }', /at most 5m/],
    ['pager: { url: x }', /unknown notice "pager"/],
  ];
  for (const [entry, says] of mistakes) {
    await work.file(
      'playbook.yml',
      `version: 1\nname: shop\nblue: postgresql://me@localhost/shop\nnotify:\n  - ${entry}\nswitch: { targets: [database-rename] }\n`,
    );
    const { code, err, out } = await work.cutover(['validate', 'playbook.yml']);
    t.is(code, 2, entry);
    t.regex(err + out, says);
    t.regex(err + out, /playbook\.yml:5:/);
    t.notRegex(err + out, /abcdefghijklmnopqrstuvwx|plainly|:pw@/);
  }
});
