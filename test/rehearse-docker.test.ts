import { cp, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import { root, workplace, type Workplace } from './helpers/cli.ts';
import { containersUnder, NEEDS_ENGINE } from './helpers/engine.ts';
import { assertKept, CLOSED, fixture, LIVE, playbook } from './helpers/rehearsal.ts';
import { until } from './helpers/until.ts';

// One after the other: clients write all the time, and the machine is small.
const test = ava.serial;
const engineTest = NEEDS_ENGINE ? ava.skip : test;
const DOCKER = ['--server', 'docker', '--pg', '15'];

/** Where stages are made that no other test looks at. */
async function temporaryOf(work: Workplace): Promise<string> {
  const temporary = join(work.folder, 'temporary');
  await mkdir(temporary, { mode: 0o755 });
  return temporary;
}

/** Accepts, and never answers; `asked` when somebody came. */
async function silentServer(t: ExecutionContext) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  const asked = once(server, 'connection');
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as { port: number }).port, asked };
}

engineTest(`in a container: the whole way, and nothing is left of it${NEEDS_ENGINE}`, async (t) => {
  const work = await workplace(t);
  const temporary = await temporaryOf(work);
  const words = ['rehearse', playbook('quickstart.yml'), ...DOCKER, '--json'];
  const outcome = await work.cutover(words, { TMPDIR: temporary });
  assertKept(t, outcome, CLOSED);
  t.regex(outcome.out, /"PostgreSQL 15\.|"15\.\d/);
  t.deepEqual(await containersUnder(temporary), []);
  t.deepEqual(await readdir(temporary), []);
});

engineTest(
  `two containers, one following the other, and both crash: no row is lost${NEEDS_ENGINE}`,
  async (t) => {
    const work = await workplace(t);
    const temporary = await temporaryOf(work);
    const words = ['rehearse', playbook('major-upgrade.yml'), '--fixture', fixture('orders'), '--json'];
    const outcome = await work.cutover(
      [...words, '--server', 'docker', '--image', 'postgres:15', '--faults', 'crash@sync'],
      { TMPDIR: temporary },
    );
    const { findings } = assertKept(t, outcome, LIVE);
    const crash = findings.find(({ check }) => check === 'crash@sync');
    t.is(crash?.severity, 'ok', JSON.stringify(crash));
    t.regex(crash!.message, /servers were down/);
    t.deepEqual(await containersUnder(temporary), []);
  },
);

engineTest(
  `what a killed rehearsal leaves in containers is taken down by the next one, wherever its servers are${NEEDS_ENGINE}`,
  async (t) => {
    const work = await workplace(t);
    const temporary = await temporaryOf(work);
    const env = { TMPDIR: temporary };
    const { child, done } = work.start(['rehearse', playbook('quickstart.yml'), ...DOCKER], env);
    await until('a container', async () => (await containersUnder(temporary)).length > 0);
    child.kill('SIGKILL');
    await done;
    t.is((await containersUnder(temporary)).length, 1);
    const next = await work.cutover(['rehearse', playbook('losing.yml')], env);
    t.is(next.code, 5, next.err);
    t.regex(next.err, /taken down: 1 stage of processes that were killed/);
    t.deepEqual(await containersUnder(temporary), []);
    t.deepEqual(await readdir(temporary), []);
  },
);

engineTest(`Ctrl-C while a container starts: it is taken down${NEEDS_ENGINE}`, async (t) => {
  const work = await workplace(t);
  const temporary = await temporaryOf(work);
  const words = ['rehearse', playbook('quickstart.yml'), ...DOCKER];
  const { child, done } = work.start(words, { TMPDIR: temporary });
  await until('a container', async () => (await containersUnder(temporary)).length > 0);
  child.kill('SIGINT');
  t.is((await done).code, 130);
  t.deepEqual(await containersUnder(temporary), []);
  t.deepEqual(await readdir(temporary), []);
});

engineTest(`an image that is not there is told, and nothing is left${NEEDS_ENGINE}`, async (t) => {
  const work = await workplace(t);
  const temporary = await temporaryOf(work);
  const words = ['rehearse', playbook('quickstart.yml'), '--server', 'docker', '--image'];
  const { code, err } = await work.cutover([...words, 'localhost:1/nobody/nothing:1'], {
    TMPDIR: temporary,
  });
  t.is(code, 2, err);
  t.regex(err, /✖ the image localhost:1\/nobody\/nothing:1 cannot be had: [^]*--image/);
  t.deepEqual(await containersUnder(temporary), []);
  t.deepEqual(await readdir(temporary), []);
});

engineTest(`Ctrl-C while an image is fetched that never comes: at once${NEEDS_ENGINE}`, async (t) => {
  const work = await workplace(t);
  const temporary = await temporaryOf(work);
  const registry = await silentServer(t);
  const words = ['rehearse', playbook('quickstart.yml'), '--server', 'docker', '--image'];
  const { child, done } = work.start([...words, `127.0.0.1:${registry.port}/postgres:15`], {
    TMPDIR: temporary,
  });
  await registry.asked;
  child.kill('SIGINT');
  t.is((await done).code, 130);
  t.deepEqual(await readdir(temporary), []);
});

test('an engine that never answers is told, and does not hold the process', async (t) => {
  const work = await workplace(t);
  const { port } = await silentServer(t);
  const { code, err } = await work.cutover(['rehearse', playbook('quickstart.yml'), ...DOCKER], {
    DOCKER_HOST: `tcp://127.0.0.1:${port}`,
  });
  t.is(code, 2, err);
  t.regex(err, /✖ there is no engine for containers: no answer in 5 s\n[^]*DOCKER_HOST/);
});

test('without testcontainers: told, and everything else works', async (t) => {
  const work = await workplace(t);
  const place = join(work.folder, 'bare');
  await cp(join(root, 'src'), join(place, 'src'), { recursive: true });
  await cp(join(root, 'package.json'), join(place, 'package.json'));
  const { dependencies, optionalDependencies } = JSON.parse(
    await readFile(join(root, 'package.json'), 'utf8'),
  ) as Record<string, Record<string, string>>;
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    const link = join(place, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(root, 'node_modules', name), link);
  }
  const tool = (words: readonly string[]) =>
    new Promise<{ code: number | null; err: string }>((resolve, reject) => {
      const child = spawn(process.execPath, ['--', join(place, 'src/cli.ts'), 'rehearse', ...words], {
        cwd: work.folder,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let err = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
      child.once('error', reject);
      child.once('close', (code) => resolve({ code, err }));
    });
  const { code, err } = await tool([playbook('quickstart.yml'), ...DOCKER]);
  t.is(code, 2, err);
  t.regex(
    err,
    /✖ testcontainers cannot be loaded: Cannot find package 'testcontainers'.*\n[^]*npm install testcontainers/,
  );
  const without = await tool([playbook('losing.yml')]);
  t.is(without.code, 5, without.err);
});

test('words that do not go together are refused', async (t) => {
  const work = await workplace(t);
  const refused = async (words: readonly string[]): Promise<string> => {
    const { code, err } = await work.cutover(['rehearse', playbook('quickstart.yml'), ...words]);
    t.is(code, 2, err);
    return err;
  };
  t.regex(await refused(['--image', 'postgres:15']), /--image is for the containers of --server docker/);
  t.regex(await refused([...DOCKER, '--image', 'postgres:15']), /--pg and --image/);
  t.regex(
    await refused(['--server', 'docker', '--image', 'a,b,c']),
    /neither an image nor blue's and green's/,
  );
  t.regex(await refused(['--server', 'podman']), /--server is no connection string/);
});
