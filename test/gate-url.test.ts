import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { createEnvironment } from '../src/playbook/values/environment.ts';
import { read } from '../src/rehearse/read.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { shop as makeShop, type Shop } from './helpers/shop.ts';
import { until } from './helpers/until.ts';
import { root, workplace } from './helpers/cli.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

interface Change {
  readonly url: string;
  readonly host: string;
  readonly asked: IncomingMessage[];
  readonly close: () => void;
}

/** A change-management system; `reply` hears which request it is, from 0. */
async function change(
  t: ExecutionContext,
  reply: (index: number, response: ServerResponse) => void,
): Promise<Change> {
  const asked: IncomingMessage[] = [];
  const listener = createServer((request, response) => {
    asked.push(request);
    reply(asked.length - 1, response);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const close = (): void => {
    listener.closeAllConnections();
    listener.close();
  };
  t.teardown(close);
  const host = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  return { url: `http://${host}/CHG123?token=sesame-change`, host, asked, close };
}

const status =
  (...codes: number[]) =>
  (index: number, response: ServerResponse): void =>
    void response.writeHead(codes[Math.min(index, codes.length - 1)]!, { location: '/elsewhere' }).end('x');

async function scene(
  t: ExecutionContext,
  { url }: Pick<Change, 'url'>,
  limit = 'timeout: 60s',
): Promise<Shop> {
  const subject = await makeShop(
    t,
    server,
    `gate: { url: "\${CHANGE_URL}", every: 1s, ${limit} }\nverify: [row-counts]`,
  );
  return { ...subject, env: { ...subject.env, CHANGE_URL: url } };
}

const answers = async (subject: Shop): Promise<unknown[]> =>
  (await subject.events()).flatMap((event) => (event.type === 'gate-answered' ? [event.by] : []));

test('no, no, yes: the third answer lets the run on, and --yes does not speak for it', async (t) => {
  const system = await change(t, status(403, 302, 204));
  const subject = await scene(t, system);
  const ran = await subject.work.cutover(['run', 'playbook.yml', '--yes'], subject.env);
  t.is(ran.code, 0, ran.err);
  t.is(system.asked.length, 3, 'a redirect is not followed');
  t.deepEqual(
    system.asked.map(({ url, method }) => `${method} ${url}`),
    Array.from({ length: 3 }, () => 'GET /CHG123?token=sesame-change'),
  );
  t.deepEqual(await answers(subject), [`the gate at ${system.host}`]);
  t.regex(ran.err, new RegExp(`The gate at ${system.host} answers 403: not yet`));
  t.regex(ran.err, /answers 302: not yet/);
  const { run } = await subject.status();
  const journal = await readFile(join(subject.work.folder, '.cutover/runs', run, 'journal.jsonl'), 'utf8');
  t.false((journal + ran.err + ran.out).includes('sesame-change'));
  t.true(journal.includes('${CHANGE_URL}'));
});

test('nobody says yes in time: everything is put back', async (t) => {
  const system = await change(t, status(403));
  const subject = await scene(t, system, 'timeout: 2500ms, then: stop');
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 4, ran.err);
  t.regex(ran.err, /answered with no by the time limit of 2\.5 s/);
  t.true(system.asked.length >= 1);
  await subject.assertUntouched(t);
});

test('a server that hangs, and one that is not there, have not said yes', async (t) => {
  const hanging = await change(t, (index, response) => {
    if (index > 0) response.end();
  });
  const subject = await scene(t, hanging, 'timeout: 10m');
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 0, ran.err);
  t.regex(ran.err, /did not answer within 10\.0 s: not yet/);
  t.is(hanging.asked.length, 2);
  const gone = await change(t, status(200));
  gone.close();
  const away = await scene(t, gone, 'timeout: 1s');
  const refused = await away.work.cutover(['run', 'playbook.yml'], away.env);
  t.is(refused.code, 4, refused.err);
  t.regex(refused.err, /The gate at 127\.0\.0\.1:\d+ cannot be asked \([^)]*ECONNREFUSED[^)]*\): not yet/);
  await away.assertUntouched(t);
});

for (const [command, code] of [
  ['approve', 0],
  ['reject', 4],
] as const) {
  test(`${command} from another terminal is heard while the address is asked`, async (t) => {
    const system = await change(t, status(403));
    const subject = await scene(t, system, 'timeout: 10m');
    const running = subject.work.start(['run', 'playbook.yml'], subject.env);
    await until('the first question', () => system.asked.length > 0);
    const answered = await subject.work.cutover([command]);
    t.is(answered.code, 0, answered.err);
    const ran = await running.done;
    t.is(ran.code, code, ran.err);
    if (code === 4) await subject.assertUntouched(t);
  });
}

test('a run whose process died asks the address again', async (t) => {
  const system = await change(t, status(403, 403, 403, 403, 200));
  const subject = await scene(t, system, 'timeout: 10m');
  const first = subject.work.start(['run', 'playbook.yml'], subject.env);
  await until('the first question', () => system.asked.length > 0);
  first.child.kill('SIGKILL');
  await first.done;
  const resumed = await subject.work.cutover(['resume'], subject.env);
  t.is(resumed.code, 0, resumed.err);
  t.deepEqual(await answers(subject), [`the gate at ${system.host}`]);
});

test('credentials in the address are sent as such', async (t) => {
  const system = await change(t, status(200));
  const subject = await scene(t, { url: system.url.replace('//', '//ana:p%40ss-change@') });
  const ran = await subject.work.cutover(['run', 'playbook.yml'], subject.env);
  t.is(ran.code, 0, ran.err);
  t.is(system.asked[0]!.headers.authorization, `Basic ${Buffer.from('ana:p@ss-change').toString('base64')}`);
  t.false((ran.err + ran.out).includes('ss-change'));
});

test('mistakes of an address are shown where they are', async (t) => {
  const work = await workplace(t);
  const mistakes: [string, RegExp][] = [
    ['{ url: change, timeout: 1m }', /:4:14[^]*must be an address such as/],
    ['{ url: "ftp://change/", timeout: 1m }', /must be an address such as/],
    ['{ url: "https://ana:sesame@change/", timeout: 1m }', /a password does not belong in a playbook/],
    ['{ url: "${NOWHERE}", timeout: 1m }', /NOWHERE is not set/],
    ['{ url: "https://change/", every: 10ms, timeout: 1m }', /must be at least 1s/],
    ['{ every: 10s, timeout: 1m }', /write the url, too/],
    ['{ url: "https://change/" }', /gate\.timeout/],
  ];
  for (const [gate, says] of mistakes) {
    await work.file(
      'playbook.yml',
      `version: 1\nname: shop\nblue: postgresql://me@localhost/shop\ngate: ${gate}\nswitch: { targets: [database-rename] }\n`,
    );
    const { code, err } = await work.cutover(['validate', 'playbook.yml']);
    t.is(code, 2, gate);
    t.regex(err, says);
    t.false(err.includes('sesame'));
  }
  t.false(existsSync(join(work.folder, '.cutover')));
});

test('who rehearses need not know the address', async (t) => {
  const work = await workplace(t);
  const file = await work.file(
    'playbook.yml',
    'version: 1\nname: shop\nblue: ${DATABASE_URL}\ngate: { url: "${CHANGE_URL}", timeout: 1m }\nswitch: { targets: [database-rename] }\n',
  );
  const given = { fixture: join(root, 'fixtures/orders'), scale: undefined, seed: undefined };
  const { playbook } = await read({ file, env: createEnvironment({}), ...given });
  t.is(playbook.gate.url?.address, '${CHANGE_URL}');
});
