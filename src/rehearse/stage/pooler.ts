import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { StepError } from '../../core/errors.ts';
import { serverAccount } from '../../databases/postgres/embedded/binaries.ts';
import { freePort } from '../../databases/postgres/embedded/processes.ts';
import { start } from '../../util/exec.ts';

type Child = ReturnType<typeof start>;

export interface PoolerOptions {
  /** Made when missing; the account of a server must be able to walk in. */
  readonly folder: string;
  /** Of `[databases]`. */
  readonly lines: readonly string[];
  /** Passwords by user; `admin` is the administrator. */
  readonly users: Readonly<Record<string, string>>;
  readonly settings?: Readonly<Record<string, string>>;
  /** Besides this process's own. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Pooler {
  readonly port: number;
  /** The file with its `[databases]`. */
  readonly file: string;
  readonly child: Child;
  /** As a user of `users`; secret. */
  readonly url: (user: string, entry: string) => string;
}

const READY_MS = 20_000;

/** Writes the files of a PgBouncer in transaction mode and gives what starts it, as often as it is called. */
export async function preparePooler(options: PoolerOptions): Promise<() => Promise<Pooler>> {
  const { folder, lines, users } = options;
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o755);
  const port = await freePort(0);
  const file = join(folder, 'databases.ini');
  await writeFile(file, `; kept as it is\n[databases]\n${lines.join('\n')}\n`);
  const names = Object.entries(users).map(([name, password]) => `"${name}" "${password}"\n`);
  const passwords = join(folder, 'users.txt');
  await writeFile(passwords, names.join(''), { mode: 0o600 });
  const general = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: passwords,
    admin_users: 'admin',
    pool_mode: 'transaction',
    max_client_conn: '200',
    default_pool_size: '20',
    server_login_retry: '15',
    ...options.settings,
  };
  const ini = join(folder, 'pgbouncer.ini');
  const text = Object.entries(general).map(([key, value]) => `${key} = ${value}`);
  await writeFile(ini, `%include ${file}\n[pgbouncer]\n${text.join('\n')}\n`);
  const account = serverAccount();
  for (const path of [folder, passwords]) if (account) await chown(path, account.uid, account.gid);
  const url: Pooler['url'] = (user, entry) =>
    `postgres://${user}:${users[user]}@127.0.0.1:${port}/${encodeURIComponent(entry)}`;
  return async () => {
    // A session of its own: Ctrl-C at the terminal must reach the tool alone.
    const child = start(
      { file: 'pgbouncer', args: [ini] },
      { stdio: 'ignore', cwd: folder, detached: true, env: { ...process.env, ...options.env }, ...account },
    );
    await ready(child, url('admin', 'pgbouncer'));
    return { port, file, child, url };
  };
}

async function ready(child: Child, url: string): Promise<void> {
  let failed: string | undefined;
  child.once('error', (error) => (failed = error.message));
  child.once('exit', (code, signal) => (failed ??= `it ended with ${code ?? signal}`));
  for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await sleep(30)) {
    if (await answers(url)) return;
    if (failed !== undefined) break;
  }
  child.kill('SIGKILL');
  throw new StepError(`PgBouncer could not be started: ${failed ?? 'it does not answer'}`, {
    hint: 'is pgbouncer installed, and on PATH?',
  });
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 3000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SHOW VERSION');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
