import { execFileSync, spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { serverAccount } from '../src/databases/postgres/embedded/binaries.ts';
import { workplace } from './helpers/cli.ts';
import { testServer } from './helpers/postgres.ts';

const installed = (() => {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });

(installed ? test : test.skip)(
  `a connection string that leads to PgBouncer is refused before anything is touched${installed ? '' : ' (SKIPPED: pgbouncer is not installed)'}`,
  async (t) => {
    const server = await testServer();
    t.teardown(() => server.stop());
    const shop = await server.database();
    const direct = new URL(server.url(shop));
    const folder = await mkdtemp(join(tmpdir(), 'cutover-test-pgbouncer-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    await chmod(folder, 0o755);
    const port = await freePort();
    await writeFile(join(folder, 'users.txt'), `"postgres" "${direct.password}"\n`);
    await writeFile(
      join(folder, 'pgbouncer.ini'),
      `[databases]
* = host=127.0.0.1 port=${direct.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, 'users.txt')}
pool_mode = transaction
`,
    );
    const pgbouncer = spawn('pgbouncer', [join(folder, 'pgbouncer.ini')], {
      stdio: 'ignore',
      ...serverAccount(),
    });
    t.teardown(() => pgbouncer.kill('SIGKILL'));
    const work = await workplace(t);
    const playbook = await work.file(
      'playbook.yml',
      'version: 1\nname: shop\nblue: ${DATABASE_URL}\nswitch: { targets: [database-rename] }\ngate: open\n',
    );
    const pooled = Object.assign(new URL(direct), { port: String(port) }).href;
    let run = await work.cutover(['run', playbook], { DATABASE_URL: pooled });
    for (let tries = 0; /ECONNREFUSED/.test(run.err) && tries < 20; tries += 1) {
      await sleep(100);
      run = await work.cutover(['run', playbook], { DATABASE_URL: pooled });
    }
    t.is(run.code, 3, run.err);
    t.regex(run.err, /goes through a pooler[^]*own host and port/);
    t.is((await work.cutover(['run', playbook], { DATABASE_URL: direct.href })).code, 0);
  },
);
