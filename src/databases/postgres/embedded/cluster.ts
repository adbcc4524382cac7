import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { StepError } from '../../../core/errors.ts';
import { run, start } from '../../../util/exec.ts';
import { addSecret } from '../../../util/redact.ts';
import { serverAccount } from './binaries.ts';
import { usableHome } from './home.ts';
import { logBytes, readLog } from './log.ts';
import { freePort, isAlive, runningServer } from './processes.ts';

/** A PostgreSQL server that this process started, or found running in its folder. */
export interface Cluster {
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly pid: number;
  readonly folder: string;
  /** Connection string as the superuser `postgres`; secret. */
  url(database: string): string;
  /** Fast shutdown; waits until the server is gone. */
  stop(): Promise<void>;
  /** Leaves the server running. */
  release(): Promise<void>;
}

export interface ClusterOptions {
  /** Folder with `initdb` and `postgres`. */
  readonly binaries: string;
  /** Where data, log and password live; made when missing. */
  readonly home: string;
  readonly settings?: Readonly<Record<string, string>>;
}

const READY_MS = 60_000;
const ATTEMPTS = 5;

/**
 * What a server says that finds the folder held by others: by children of one that was killed, which may be
 * at work for long, or by one that does not answer yet. They are waited for; a new server waits for none of them.
 */
const OTHERS = /pre-existing shared memory block|lock file "postmaster\.pid" (?:already exists|is empty)/;

/** Starts the cluster in `home`, making it first if need be; attaches to the one that already runs there. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const account = serverAccount();
  const home = await usableHome(resolve(options.home));
  await mkdir(home, { recursive: true, mode: 0o755 });
  if (account) await chown(home, account.uid, account.gid);
  await chmod(home, 0o700);
  const data = join(home, 'data');
  if (!existsSync(join(data, 'PG_VERSION'))) await initialise(options.binaries, home, account);
  const password = (await readFile(join(home, 'password'), 'utf8')).trim();
  addSecret(password);

  const deadline = Date.now() + READY_MS;
  const failures = { held: 0, other: 0 };
  for (;;) {
    // Looked for each time: another process may have started it just now, which is why ours could not start.
    const running = await attach(home, password);
    if (running) return running;
    const port = await choosePort(home, failures.other === 0);
    const said = await logBytes(home);
    const pid = await launch(options, home, port, account);
    if (await ready(pid, port, home, password)) {
      await writeFile(join(home, 'port'), String(port));
      await writeFile(join(home, 'owner'), String(process.pid));
      return handle(home, pid, port, password, false);
    }
    const held = OTHERS.test(await readLog(home, said));
    const failed = (failures[held ? 'held' : 'other'] += 1);
    if (held ? Date.now() > deadline : failed === ATTEMPTS) throw await startFailed(home);
    await sleep(Math.min(100 * 2 ** failed, 2000));
  }
}

/** The server that runs in the folder already. */
async function attach(home: string, password: string): Promise<Cluster | undefined> {
  const running = await runningServer(join(home, 'data'));
  if (!running || !(await answers(running.port, password))) return undefined;
  const owner = Number(await readFile(join(home, 'owner'), 'utf8').catch(() => '0'));
  // Somebody who lives owns it, or it was told to stay: then stopping it is not our business.
  const foreign = owner === -1 || (owner !== process.pid && owner > 0 && isAlive(owner));
  if (!foreign) await writeFile(join(home, 'owner'), String(process.pid));
  return handle(home, running.pid, running.port, password, foreign);
}

type Account = ReturnType<typeof serverAccount>;

async function initialise(binaries: string, home: string, account: Account): Promise<void> {
  const data = join(home, 'data');
  const password = join(home, 'password');
  await rm(data, { recursive: true, force: true });
  await writeFile(password, `${randomBytes(18).toString('base64url')}\n`, { mode: 0o600 });
  if (account) await chown(password, account.uid, account.gid);
  const result = await run(
    as(account, join(binaries, 'initdb'), [
      `--pgdata=${data}`,
      '--username=postgres',
      `--pwfile=${password}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--no-locale',
      '--no-sync',
    ]),
    { cwd: '/', env: serverEnvironment() },
  );
  if (result.code !== 0) {
    await rm(data, { recursive: true, force: true });
    throw new StepError(`initdb failed with exit code ${result.code}`, { detail: result.output.trimEnd() });
  }
}

// `run` has no account of its own to switch to; setpriv and su are not everywhere, Node is.
function as(account: Account, file: string, args: string[]): { file: string; args: string[] } {
  if (!account) return { file, args };
  const script =
    `const [file, uid, gid, ...args] = process.argv.slice(1);` +
    `const r = require('node:child_process').spawnSync(file, args, { uid: +uid, gid: +gid, cwd: '/', stdio: 'inherit' });` +
    `process.exit(r.status ?? 1);`;
  return {
    file: process.execPath,
    args: ['-e', script, file, String(account.uid), String(account.gid), ...args],
  };
}

async function launch(
  options: ClusterOptions,
  home: string,
  port: number,
  account: Account,
): Promise<number> {
  const log = await open(join(home, 'log'), 'a', 0o600);
  try {
    const settings: Record<string, string> = {
      listen_addresses: '127.0.0.1',
      port: String(port),
      unix_socket_directories: '',
      ...options.settings,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = start(
      { file: join(options.binaries, 'postgres'), args: ['-D', join(home, 'data'), ...args] },
      {
        cwd: '/',
        env: serverEnvironment(),
        // A session of its own: Ctrl-C at the terminal must reach the tool, not the database under it.
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        ...account,
      },
    );
    const pid = await new Promise<number>((resolvePid, reject) => {
      child.once('error', reject);
      child.once('spawn', () => resolvePid(child.pid!));
    });
    child.unref();
    return pid;
  } finally {
    await log.close();
  }
}

async function ready(pid: number, port: number, home: string, password: string): Promise<boolean> {
  const deadline = Date.now() + READY_MS;
  while (Date.now() < deadline && isAlive(pid)) {
    // Another process may have started the server on this very port: then ours is about to give up.
    if (await answers(port, password)) return (await runningServer(join(home, 'data')))?.pid === pid;
    await sleep(40);
  }
  return false;
}

async function startFailed(home: string): Promise<StepError> {
  const log = await readLog(home);
  return new StepError('the embedded PostgreSQL did not start', {
    where: join(home, 'log'),
    detail: log.trimEnd().split('\n').slice(-8).join('\n'),
    hint: `look at the log; to begin afresh remove ${home}`,
  });
}

function handle(home: string, pid: number, port: number, password: string, foreign: boolean): Cluster {
  return {
    host: '127.0.0.1',
    port,
    pid,
    folder: home,
    url: (database) => `postgresql://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    async stop() {
      if (foreign || !isAlive(pid)) return;
      process.kill(pid, 'SIGINT');
      for (const deadline = Date.now() + 20_000; isAlive(pid);) {
        if (Date.now() > deadline) process.kill(pid, 'SIGQUIT');
        await sleep(20);
      }
      await rm(join(home, 'owner'), { force: true });
    },
    async release() {
      await writeFile(join(home, 'owner'), '-1');
    },
  };
}

async function answers(port: number, password: string): Promise<boolean> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password,
    database: 'postgres',
    connectionTimeoutMillis: 3000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

const serverEnvironment = (): Record<string, string | undefined> => ({
  PATH: process.env['PATH'],
  LC_ALL: 'C',
  TZ: 'UTC',
});

/** The port of last time, so that a connection string stays good; another one when somebody has taken it. */
async function choosePort(home: string, again: boolean): Promise<number> {
  const last = again ? Number(await readFile(join(home, 'port'), 'utf8').catch(() => '0')) : 0;
  return freePort(last).catch(() => freePort(0));
}
