import { codeOf, RefusedError, serverMessage, isServerError } from '../../core/errors.ts';
import type { Connection } from '../../databases/postgres/connection.ts';

/** "cutj" in the two-key space of advisory locks: who makes the schema. */
const MIGRATING = 0x6375746a;

/** Each brings the schema from the version before it to its own; the first one makes it. */
const STEPS: readonly string[] = [
  `create table cutover.runs (
     run text primary key,
     writer text
   );
   create table cutover.events (
     run text not null references cutover.runs,
     seq integer not null,
     body text not null,
     primary key (run, seq)
   );
   create table cutover.requests (
     run text not null references cutover.runs,
     id text not null,
     body text not null,
     primary key (run, id)
   )`,
  `create table cutover.approvals (
     name text primary key,
     body text not null
   )`,
];

/** The version from which on there are approvals. */
const APPROVALS = 2;

/** Whether the schema is there; throws RefusedError when a newer version of the tool made it. */
export async function hasSchema(connection: Connection): Promise<boolean> {
  return (await versionOf(connection)) > 0;
}

/** Whether approvals can be in it: a schema that nobody has brought forward yet has none. */
export async function hasApprovals(connection: Connection): Promise<boolean> {
  return (await versionOf(connection)) >= APPROVALS;
}

/** Makes the schema, or brings it to what this version knows. */
export async function migrateSchema(connection: Connection): Promise<void> {
  if ((await versionOf(connection)) === STEPS.length) return;
  try {
    await connection.query('begin');
    await connection.query('select pg_advisory_xact_lock($1, 0)', [MIGRATING]);
    await connection.query('create schema if not exists cutover');
    await connection.query('create table if not exists cutover.version (version integer not null)');
    const from = await versionOf(connection);
    for (const step of STEPS.slice(from)) await connection.query(step);
    await connection.query('delete from cutover.version');
    await connection.query('insert into cutover.version values ($1)', [STEPS.length]);
    await connection.query('commit');
  } catch (cause) {
    // Should it fail, the session is broken, and the server has rolled back by itself: what happened first is told.
    if (!connection.lost) await connection.query('rollback').catch(() => undefined);
    if (!isServerError(cause)) throw cause;
    throw new RefusedError(`the journal's schema cannot be made: ${serverMessage(cause)}`, {
      cause,
      hint:
        codeOf(cause) === '42501'
          ? 'as the owner of the database: GRANT CREATE ON DATABASE … TO the role of --state; or name another database'
          : 'nothing was touched; look at the schema cutover in the database of --state',
    });
  }
}

/** 0 when there is none. */
async function versionOf(connection: Connection): Promise<number> {
  const [there] = await connection.query<{ there: boolean }>(
    `select to_regclass('cutover.version') is not null as there`,
  );
  if (!there!.there) return 0;
  const [row] = await connection.query<{ version: number }>('select version from cutover.version');
  const version = row?.version ?? 0;
  if (version <= STEPS.length) return version;
  throw new RefusedError(
    `the journal of --state was made by a newer version of cutover: its schema is ${version}, and this one knows ${STEPS.length}`,
    { hint: 'use the newer version; nothing was touched' },
  );
}
