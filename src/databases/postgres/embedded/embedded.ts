import { randomBytes } from 'node:crypto';
import type { BlueSource } from '../../../core/playbook.ts';
import { quoteIdentifier } from '../../../util/sql.ts';
import { embeddedBinaries } from './binaries.ts';
import { startCluster, type Cluster } from './cluster.ts';
import { addressOf } from '../address.ts';
import { Connection } from '../connection.ts';
import { findByName } from '../copy/copy.ts';
import { loadFixture } from '../fixture/load.ts';

type EmbeddedSource = Extract<BlueSource, { kind: 'embedded' }>;

export interface EmbeddedServer {
  /** Connection string to blue; secret. */
  readonly url: string;
  /** Set when the server goes on running after the command: how a person can connect. */
  readonly stays: string | undefined;
  end(): Promise<void>;
}

/** Starts the embedded server in `home` and loads the fixture when its database is not there yet, with pg_restore of `tools` if need be. */
export async function openEmbedded(
  source: EmbeddedSource,
  home: string,
  tools?: string,
): Promise<EmbeddedServer> {
  const cluster = await startCluster({ binaries: await embeddedBinaries(), home });
  try {
    await ensureDatabase(cluster, source, tools);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return {
    url: cluster.url(source.database),
    stays: source.stay
      ? `psql -h ${cluster.host} -p ${cluster.port} -U postgres; the password is in ${cluster.folder}/password`
      : undefined,
    end: () => (source.stay ? cluster.release() : cluster.stop()),
  };
}

const LOADING = 'cutover_loading_';

/** Drops what processes left that died while they loaded. Who loads now holds the lock until its session ends. */
async function removeUnfinished(admin: Connection): Promise<void> {
  await admin.query('select pg_advisory_lock(hashtext($1))', [LOADING]);
  const left = await admin.query<{ name: string }>(
    'select datname as name from pg_database where starts_with(datname, $1)',
    [LOADING],
  );
  for (const { name } of left) await admin.query(`DROP DATABASE ${quoteIdentifier(name)} WITH (FORCE)`);
}

/** Loads a fixture under another name first: a database of blue's name is always a whole one. */
async function ensureDatabase(cluster: Cluster, source: EmbeddedSource, tools?: string): Promise<void> {
  const address = addressOf(cluster.url('postgres'), 'cutover fixture');
  const admin = await Connection.open(address, 'postgres');
  try {
    await removeUnfinished(admin);
    if (await findByName(admin, source.database)) return;
    const loading = `${LOADING}${randomBytes(4).toString('hex')}`;
    await admin.query(`CREATE DATABASE ${quoteIdentifier(loading)}`);
    try {
      if (source.fixture !== undefined) await load(cluster, loading, source.fixture, tools);
      await admin.query(
        `ALTER DATABASE ${quoteIdentifier(loading)} RENAME TO ${quoteIdentifier(source.database)}`,
      );
    } catch (error) {
      await admin
        .query(`DROP DATABASE IF EXISTS ${quoteIdentifier(loading)} WITH (FORCE)`)
        .catch(() => undefined);
      throw error;
    }
  } finally {
    await admin.end();
  }
}

async function load(cluster: Cluster, database: string, folder: string, tools?: string): Promise<void> {
  const connection = await Connection.open(addressOf(cluster.url(database), 'cutover fixture'), database);
  try {
    await loadFixture(connection, folder, { tools });
  } finally {
    await connection.end();
  }
}
