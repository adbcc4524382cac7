import { quoteLiteral, withoutConstants } from '../../../../util/sql.ts';
import type { Connection } from '../../connection.ts';
import { OWN_SCHEMA } from './names.ts';
import { inOne } from './publication.ts';

const LOG = `${OWN_SCHEMA}.ddl`;
/** Event triggers: they are no part of any schema, and are known by these names. */
export const WATCHERS = ['cutover_ddl', 'cutover_drop'] as const;
const NOTE = `${OWN_SCHEMA}.note`;

/**
 * Notes who changes the schema: it is the owner's right, and never fails for what happens here. Temporary objects are
 * none, and neither is what the tool does itself.
 */
const FUNCTION = `CREATE OR REPLACE FUNCTION ${NOTE}() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $note$
begin
  if current_setting('application_name') like 'cutover 2%' then return; end if;
  if tg_event = 'sql_drop' then
    if not exists (select from pg_event_trigger_dropped_objects() where not is_temporary) then return; end if;
  elsif not exists (select from pg_event_trigger_ddl_commands() where schema_name is distinct from 'pg_temp') then
    return;
  end if;
  insert into ${LOG} (statement, session, pid, application)
    values (left(current_query(), 1000), session_user, pg_backend_pid(), current_setting('application_name'));
exception when others then null;
end $note$`;

/** From here on it is known who changes the schema. Repeatable. */
export async function watchDdl(connection: Connection): Promise<void> {
  await inOne(connection, [
    `CREATE TABLE IF NOT EXISTS ${LOG} (at timestamptz NOT NULL DEFAULT clock_timestamp(), statement text, session text, pid int, application text)`,
    FUNCTION,
    ...unwatchStatements,
    `CREATE EVENT TRIGGER ${WATCHERS[0]} ON ddl_command_end EXECUTE FUNCTION ${NOTE}()`,
    `CREATE EVENT TRIGGER ${WATCHERS[1]} ON sql_drop EXECUTE FUNCTION ${NOTE}()`,
  ]);
}

export const unwatchStatements: readonly string[] = WATCHERS.map(
  (name) => `DROP EVENT TRIGGER IF EXISTS ${name}`,
);

/** Leaves out what watches. */
export const notWatcher = (name: string): string =>
  `${name} not in (${WATCHERS.map(quoteLiteral).join(', ')})`;

/** The latest changes of the schema and who made them, a line each; constants are left out of statements. */
export async function readDdl(connection: Connection): Promise<string[]> {
  const [there] = await connection.query<{ there: boolean }>(
    `select to_regclass('${LOG}') is not null as there`,
  );
  if (!there?.there) return [];
  const rows = await connection.query<{
    at: string;
    statement: string;
    session: string;
    pid: number;
    application: string;
  }>(
    `select to_char(l.at, 'YYYY-MM-DD HH24:MI:SS') as at, statement, session, pid, application
     from (select * from ${LOG} order by at desc limit 5) l order by l.at`,
  );
  return rows.map(
    ({ at, statement, session, pid, application }) =>
      `${at} user=${session} app=${application || '-'} pid ${pid}: ${withoutConstants(statement).replaceAll(/\s+/g, ' ').slice(0, 200)}`,
  );
}
