import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { serverAccount } from '../../src/databases/postgres/embedded/binaries.ts';
import { Console } from '../../src/targets/pgbouncer/console.ts';
import { until } from './until.ts';

/** Whether the program is installed; tests that need it are skipped with a word otherwise. */
const pgbouncerInstalled = ((): boolean => {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

export const NEEDS_PGBOUNCER = pgbouncerInstalled ? '' : ' (SKIPPED: pgbouncer is not installed)';

export interface Pooler {
  readonly port: number;
  /** The file with its `[databases]`. */
  readonly file: string;
  readonly admin: string;
  url(entry: string): string;
  /** Words on the admin console. */
  ask(words: string): Promise<Record<string, string>[]>;
  /** A console that is kept, to look fast. */
  watch(): Promise<{ isPaused(entry: string): Promise<boolean>; end(): Promise<void> }>;
  /** Leads an entry elsewhere, as an administrator would. */
  point(entry: string, to: string): Promise<void>;
  /** A connection of the application's. */
  client(entry: string): Promise<Client>;
  process: ChildProcess;
  /** After a kill: comes up again on what its files say. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });

/** A real PgBouncer with the given lines in its own `[databases]` file; clients are the role `app`. */
export async function pgbouncer(
  lines: readonly string[],
  settings: Record<string, string> = {},
): Promise<Pooler> {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-test-pgbouncer-'));
  await chmod(folder, 0o755);
  const port = await freePort();
  const file = join(folder, 'databases.ini');
  await writeFile(file, `; kept as it is\n[databases]\n${lines.join('\n')}\n`);
  await writeFile(join(folder, 'users.txt'), '"app" "app-word"\n"admin" "admin-word"\n');
  const general = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: join(folder, 'users.txt'),
    admin_users: 'admin',
    pool_mode: 'transaction',
    max_client_conn: '200',
    default_pool_size: '20',
    server_login_retry: '15',
    ...settings,
  };
  const ini = join(folder, 'pgbouncer.ini');
  const text = Object.entries(general).map(([key, value]) => `${key} = ${value}`);
  await writeFile(ini, `%include ${file}\n[pgbouncer]\n${text.join('\n')}\n`);
  const account = serverAccount();
  if (account) await chown(folder, account.uid, account.gid);
  const admin = `postgres://admin:admin-word@127.0.0.1:${port}/pgbouncer`;
  const pooler: Pooler = {
    port,
    file,
    admin,
    url: (entry) => `postgres://app:app-word@127.0.0.1:${port}/${entry}`,
    async ask(words) {
      const client = new Client({ connectionString: admin });
      client.on('error', () => undefined);
      await client.connect();
      try {
        return (await client.query<Record<string, string>>(words)).rows;
      } finally {
        await client.end();
      }
    },
    async watch() {
      const console = await Console.open(admin);
      return {
        isPaused: async (entry) =>
          (await console.ask('SHOW DATABASES')).find(({ name }) => name === entry)!['paused'] === '1',
        end: () => console.end(),
      };
    },
    async point(entry, to) {
      await writeFile(file, `; kept as it is\n[databases]\n${entry} = ${to}\n`);
      await this.ask('RELOAD');
    },
    async client(entry) {
      const client = new Client({ connectionString: this.url(entry) });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    },
    process: undefined as never,
    async start() {
      this.process = spawn('pgbouncer', [ini], {
        stdio: 'ignore',
        ...account,
      });
      await until('PgBouncer', () =>
        this.ask('SHOW VERSION').then(
          () => true,
          () => false,
        ),
      );
    },
    async stop() {
      this.process.kill('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
  await pooler.start();
  return pooler;
}
