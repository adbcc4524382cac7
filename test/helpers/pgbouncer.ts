import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { isInstalled } from './installed.ts';
import { preparePooler } from '../../src/rehearse/stage/pooler.ts';
import { Console } from '../../src/targets/pgbouncer/console.ts';

export const NEEDS_PGBOUNCER = isInstalled('pgbouncer') ? '' : ' (SKIPPED: pgbouncer is not installed)';

export interface Pooler {
  readonly port: number;
  /** The file with its `[databases]`. */
  readonly file: string;
  readonly admin: string;
  url(entry: string): string;
  /** Words on the admin console. */
  ask(words: string): Promise<Record<string, string>[]>;
  /** A console that is kept, to look fast. */
  watch(): Promise<{
    isPaused(entry: string): Promise<boolean>;
    /** The database that an entry leads to. */
    leads(entry: string): Promise<string | null>;
    end(): Promise<void>;
  }>;
  /** Leads an entry elsewhere, as an administrator would. */
  point(entry: string, to: string): Promise<void>;
  /** A connection of the application's. */
  client(entry: string): Promise<Client>;
  process: ChildProcess;
  /** After a kill: comes up again on what its files say. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** A real PgBouncer with the given lines in its own `[databases]` file; clients are the role `app`. */
export async function pgbouncer(
  lines: readonly string[],
  settings: Record<string, string> = {},
): Promise<Pooler> {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-test-pgbouncer-'));
  const launch = await preparePooler({
    folder,
    lines,
    users: { app: 'app-word', admin: 'admin-word' },
    settings,
  });
  const { port, file, child } = await launch();
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
      const row = async (entry: string) =>
        (await console.ask('SHOW DATABASES')).find(({ name }) => name === entry)!;
      return {
        isPaused: async (entry) => (await row(entry))['paused'] === '1',
        leads: async (entry) => (await row(entry))['database']!,
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
    process: child,
    async start() {
      this.process = (await launch()).child;
    },
    async stop() {
      this.process.kill('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
  return pooler;
}
