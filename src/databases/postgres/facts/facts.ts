import { statfs, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Facts, Privilege, SessionInfo, Setting } from '../../../core/database/facts.ts';
import { RefusedError } from '../../../core/errors.ts';
import { catalogFingerprint, objectHashes } from '../catalog/catalog.ts';
import type { Connection } from '../connection.ts';
import { DATABASES, OBJECTS, PRIVILEGES, SERVER, SESSIONS, SETTINGS } from './queries.ts';
import { parseMark } from '../copy/mark.ts';
import { createReader, prepareReaderSession } from '../reading/reader.ts';
import { withoutConstants } from '../../../util/sql.ts';

interface ServerRow {
  [column: string]: unknown;
  version: string;
  major: number;
  identifier: string;
  in_recovery: boolean;
  file_copy_method: string | null;
  role: string;
  superuser: boolean;
  create_database: boolean;
  bypass_rls: boolean;
  create_role: boolean;
  owns_blue: boolean;
  can_signal: boolean;
  owner: string;
  name: string;
  open: boolean;
  is_template: boolean;
  connection_limit: number;
  bytes: number;
  encoding: string;
  collate: string;
  ctype: string;
  provider: 'libc' | 'icu' | 'builtin';
  locale: string | null;
  comment: string | null;
  has_acl: boolean;
}

interface ObjectsRow {
  [column: string]: unknown;
  relations: number;
  tables: number;
  estimated_rows: number;
  row_security: string[];
  unreadable: string[];
  unlogged: string[];
  large_objects: number;
  materialized_views: string[];
  invalid_indexes: string[];
  not_valid_constraints: string[];
  publications: string[];
  subscriptions: string[];
  logical_slots: string[];
  prepared_transactions: string[];
  event_triggers: string[];
  foreign_servers: string[];
  background_extensions: string[];
  read_only: boolean;
}

/** One reading of everything that preflight and plan need. `open` connects to blue; its connection is ended here. */
export async function readFacts(
  admin: Connection,
  oid: number,
  ownPids: readonly number[],
  open: () => Promise<Connection>,
): Promise<Facts> {
  // The size of a database of many files takes its time.
  const [server] = await admin.query<ServerRow>(SERVER, [oid], { long: true });
  if (!server) throw new RefusedError(`blue is not on the server any more (database with object id ${oid})`);
  const inside = server.open ? await readInside(open) : undefined;
  const databases = await admin.query<{ name: string; oid: number; comment: string | null }>(DATABASES);
  return {
    server: {
      version: server.version,
      major: server.major,
      identifier: server.identifier,
      inRecovery: server.in_recovery,
      fileCopyMethod: server.file_copy_method ?? undefined,
      freeBytes: await freeBytes(admin),
    },
    role: {
      name: server.role,
      superuser: server.superuser,
      createDatabase: server.superuser || server.create_database,
      bypassRls: server.superuser || server.bypass_rls,
      ownsBlue: server.owns_blue,
      canSignal: server.can_signal,
      createRole: server.superuser || server.create_role,
    },
    blue: {
      name: server.name,
      oid,
      owner: server.owner,
      bytes: server.bytes,
      relations: inside?.row.relations ?? 0,
      tables: inside?.row.tables ?? 0,
      estimatedRows: inside?.row.estimated_rows ?? 0,
      readOnly: inside?.row.read_only ?? false,
      closed: !server.open,
      isTemplate: server.is_template,
      connectionLimit: server.connection_limit,
      comment: server.comment ?? undefined,
      privileges: server.has_acl
        ? await admin.query<Privilege & Record<string, unknown>>(PRIVILEGES, [oid])
        : undefined,
      settings: await admin.query<Setting & Record<string, unknown>>(SETTINGS, [oid]),
      fingerprint: inside?.fingerprint ?? '',
      schema: inside?.schema ?? {},
      locale: localeOf(server),
    },
    objects: objectsOf(inside?.row),
    sessions: await readSessions(admin, oid, ownPids),
    databases: databases.map(({ name, oid, comment }) => ({ name, oid, mark: parseMark(comment) })),
  };
}

const localeOf = ({ encoding, collate, ctype, provider, locale }: ServerRow): Facts['blue']['locale'] => ({
  encoding,
  collate,
  ctype,
  provider,
  locale: locale ?? undefined,
});

export async function readSessions(
  admin: Connection,
  oid: number,
  ownPids: readonly number[],
): Promise<SessionInfo[]> {
  const rows = await admin.query<Omit<SessionInfo, 'transactionSeconds'> & { seconds: number | null }>(
    SESSIONS,
    [oid, ownPids],
  );
  return rows.map(({ seconds, ...session }) => ({
    ...session,
    query: withoutConstants(session.query),
    transactionSeconds: seconds ?? undefined,
  }));
}

/** Whom a session waits for, in whatever database they are; a prepared transaction has no session. */
export async function readBlockers(
  admin: Connection,
  pid: number,
): Promise<{ sessions: (SessionInfo & { database: string })[]; prepared: boolean }> {
  const [blockers] = await admin.query<{ pids: number[] }>('select pg_blocking_pids($1) as pids', [pid]);
  const { pids } = blockers!;
  const rows = await admin.query<{ oid: number; database: string }>(
    `select distinct datid::int8::float8 as oid, coalesce(datname, '-') as database
     from pg_stat_activity where pid = any($1::int[])`,
    [pids],
  );
  const sessions: (SessionInfo & { database: string })[] = [];
  for (const { oid, database } of rows)
    for (const session of await readSessions(admin, oid, []))
      if (pids.includes(session.pid)) sessions.push({ ...session, database });
  return { sessions, prepared: pids.includes(0) };
}

async function readInside(
  open: () => Promise<Connection>,
): Promise<{ row: ObjectsRow } & Pick<Facts['blue'], 'fingerprint' | 'schema'>> {
  const blue = await open();
  try {
    const [row] = await blue.query<ObjectsRow>(OBJECTS);
    await prepareReaderSession(blue.client);
    const reader = createReader([blue.client]);
    const catalog = await reader.catalog();
    return { row: row!, fingerprint: catalogFingerprint(catalog), schema: objectHashes(catalog) };
  } finally {
    await blue.end();
  }
}

function objectsOf(row: ObjectsRow | undefined): Facts['objects'] {
  return {
    rowSecurity: row?.row_security ?? [],
    unreadable: row?.unreadable ?? [],
    unlogged: row?.unlogged ?? [],
    largeObjects: row?.large_objects ?? 0,
    materializedViews: row?.materialized_views ?? [],
    invalidIndexes: row?.invalid_indexes ?? [],
    notValidConstraints: row?.not_valid_constraints ?? [],
    publications: row?.publications ?? [],
    subscriptions: row?.subscriptions ?? [],
    logicalSlots: row?.logical_slots ?? [],
    preparedTransactions: row?.prepared_transactions ?? [],
    eventTriggers: row?.event_triggers ?? [],
    foreignServers: row?.foreign_servers ?? [],
    backgroundExtensions: row?.background_extensions ?? [],
  };
}

/** Only when the server runs on this machine and its folder can be seen: then the postmaster's file names our server. */
async function freeBytes(admin: Connection): Promise<number | undefined> {
  try {
    const [row] = await admin.query<{ folder: string; started: string }>(
      `select current_setting('data_directory') as folder, extract(epoch from pg_postmaster_start_time())::bigint::text as started`,
    );
    const postmaster = (await readFile(join(row!.folder, 'postmaster.pid'), 'utf8')).split('\n');
    if (Math.abs(Number(postmaster[2]) - Number(row!.started)) > 2) return undefined;
    const space = await statfs(row!.folder);
    return space.bavail * space.bsize;
  } catch {
    return undefined;
  }
}
