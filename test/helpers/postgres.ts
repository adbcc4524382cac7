import { setTimeout as sleep } from 'node:timers/promises';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type QueryResult, type QueryResultRow } from 'pg';
import { embeddedBinaries } from '../../src/databases/postgres/embedded/binaries.ts';
import {
  startCluster,
  type Cluster,
  type ClusterOptions,
} from '../../src/databases/postgres/embedded/cluster.ts';
import { until } from './until.ts';

export const DEFAULT_MAJOR = 18;

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
const packages: Record<number, string | undefined> = {
  14: 'pg14',
  15: 'pg15',
  16: 'pg16',
  17: 'pg17',
  18: undefined,
};

/** The majors whose programs are installed here. */
export const majors = (): number[] =>
  Object.entries(packages)
    .filter(
      ([, name]) => name === undefined || existsSync(new URL(`../../node_modules/${name}`, import.meta.url)),
    )
    .map(([major]) => Number(major));

export interface TestServer {
  readonly cluster: Cluster;
  readonly url: (database?: string) => string;
  /** A connection as superuser; ended with the server. Errors of broken connections are swallowed. */
  connect(database?: string): Promise<Client>;
  /** Runs one SQL text and gives its rows. */
  sql<R extends QueryResultRow = Record<string, string>>(text: string, database?: string): Promise<R[]>;
  /** Stops the server at once, as a crash does, and starts it again after a while. */
  crash(awayMs?: number): Promise<void>;
  /** Makes an empty database with a name nobody has, and gives the name. */
  database(prefix?: string): Promise<string>;
  stop(): Promise<void>;
}

/** Starts a real server of a major in a temporary folder, without fsync. */
export async function testServer(
  major = DEFAULT_MAJOR,
  settings: Record<string, string> = {},
): Promise<TestServer> {
  const home = await mkdtemp(join(tmpdir(), `cutover-test-pg${major}-`));
  const options = {
    binaries: await embeddedBinaries(packages[major]),
    home,
    settings: { fsync: 'off', max_connections: '200', shared_buffers: '64MB', ...settings },
  };
  return serverOn(await startCluster(options), home, options);
}

function serverOn(first: Cluster, home: string, options: ClusterOptions): TestServer {
  let cluster = first;
  const clients = new Set<Client>();
  const connect = async (database = 'postgres'): Promise<Client> => {
    const client = new Client({ connectionString: cluster.url(database) });
    client.on('error', () => undefined);
    await client.connect();
    clients.add(client);
    return client;
  };
  return {
    get cluster() {
      return cluster;
    },
    async crash(awayMs = 0) {
      const { pid, folder } = cluster;
      process.kill(pid, 'SIGQUIT');
      await until('the end of the server', () => !isRunning(pid));
      await sleep(awayMs);
      cluster = await startCluster({ ...options, home: folder });
    },
    url: (database = 'postgres') => cluster.url(database),
    connect,
    async sql<R extends QueryResultRow>(text: string, database?: string) {
      const client = await connect(database);
      try {
        const result: unknown = await client.query(text);
        const last = Array.isArray(result) ? (result.at(-1) as QueryResult<R>) : (result as QueryResult<R>);
        return last.rows;
      } finally {
        clients.delete(client);
        await client.end();
      }
    },
    async database(prefix = 'shop') {
      const name = `${prefix}_${randomBytes(4).toString('hex')}`;
      await this.sql(`create database "${name.replaceAll('"', '""')}"`);
      return name;
    },
    async stop() {
      await Promise.all([...clients].map((client) => client.end().catch(() => undefined)));
      await cluster.stop();
      // As root, the server's files may be elsewhere: see usableHome.
      for (const folder of [home, cluster.folder]) await rm(folder, { recursive: true, force: true });
    },
  };
}
