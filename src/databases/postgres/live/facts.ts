import { messageOf } from '../../../core/errors.ts';
import type { LiveFacts, ServerFacts } from '../../../core/database/live-facts.ts';
import { displayPath } from '../../../util/sql.ts';
import type { Connection } from '../connection.ts';
import { versionOfTool } from '../copy/tools.ts';
import { parseMark } from '../copy/mark.ts';
import { DATABASES } from '../facts/queries.ts';
import type { Sides } from '../sides.ts';
import { OWN_SCHEMA, runOfSchema } from './objects/names.ts';
import { readReach } from './reach.ts';
import { listSequences } from './pause/sequences.ts';
import { readTables } from './objects/tables.ts';

const SERVER = `
select current_setting('server_version') as version, current_setting('server_version_num')::int / 10000 as major,
  (select system_identifier::text from pg_control_system()) as identifier,
  current_setting('wal_level') as "walLevel", pg_is_in_recovery() as "inRecovery",
  current_setting('shared_preload_libraries') ~ '\\ypg_stat_statements\\y' as statements,
  current_setting('max_replication_slots')::int - (select count(*) from pg_replication_slots)::int as "freeSlots",
  current_setting('max_wal_senders')::int - (select count(*) from pg_stat_replication)::int as "freeSenders",
  least(current_setting('max_logical_replication_workers')::int, current_setting('max_worker_processes')::int)
    - (select count(*) from pg_stat_activity where backend_type like 'logical replication%worker')::int as "freeWorkers",
  coalesce(current_setting('max_active_replication_origins', true), current_setting('max_replication_slots'))::int
    - (select count(*) from pg_replication_origin_status)::int as "freeOrigins",
  (select setting::int from pg_settings where name = 'wal_sender_timeout') as "walSenderTimeout",
  current_setting('max_slot_wal_keep_size') as "slotKeep",
  (select rolsuper from pg_roles where rolname = current_user) as superuser, current_user as role,
  array(select rolname::text from pg_roles where rolname !~ '^pg_') as roles,
  array(select name::text from pg_available_extensions) as extensions`;

async function readServer(admin: Connection): Promise<ServerFacts> {
  const [row] = await admin.query<ServerFacts & Record<string, unknown>>(SERVER);
  const databases = await admin.query<{ name: string; oid: number; comment: string | null }>(DATABASES);
  return {
    ...row!,
    databases: databases.map(({ name, oid, comment }) => ({ name, oid, mark: parseMark(comment) })),
  };
}

const NEEDS = `
select
  array(select distinct pg_get_userbyid(owner) from (
      select relowner as owner from pg_class where oid >= 16384 union select nspowner from pg_namespace where oid >= 16384
      union select proowner from pg_proc where oid >= 16384 union select datdba from pg_database where datname = current_database()
      union select a.grantee from pg_class c, aclexplode(c.relacl) a where c.oid >= 16384 and a.grantee <> 0
    ) owners where owner <> 0)::text[] as roles,
  array(select extname::text from pg_extension) as extensions,
  array(select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'f' and n.nspname !~ '^pg_') as foreign,
  (select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = '${OWN_SCHEMA}') as own`;

/** What following one side by the other rests on, on both servers and in blue. */
export async function readLiveFacts(sides: Sides, folder: string | undefined): Promise<LiveFacts> {
  const blue = await readServer(await sides.admin('blue'));
  const green = sides.together ? blue : await readServer(await sides.admin('green'));
  const hand = await sides.hand('blue');
  const [needs] = await hand.query<{ roles: string[]; extensions: string[]; own: string | null }>(NEEDS);
  const tables = await readTables(hand);
  return {
    together: sides.together,
    servers: { blue, green },
    unreachable: await readReach(sides),
    roles: needs!.roles,
    extensions: needs!.extensions,
    tools: await Promise.all(['pg_dump', 'pg_restore'].map((name) => lookAtTool(name, folder))),
    sequences: (await listSequences(hand)).length,
    leftBy: runOfSchema(needs!.own),
    tables: tables.map(({ path, identity, full, incomparable, logged }) => ({
      path,
      name: displayPath(path),
      logged,
      findable: identity.length > 0 || (full && incomparable.length === 0),
      full,
      incomparable: incomparable.map((column) => displayPath([column])),
      identity,
    })),
  };
}

async function lookAtTool(name: string, folder: string | undefined): Promise<LiveFacts['tools'][number]> {
  try {
    return { name, major: await versionOfTool(name, folder) };
  } catch (error) {
    return { name, problem: messageOf(error) };
  }
}
