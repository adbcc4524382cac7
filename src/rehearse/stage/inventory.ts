import { LEDGER_SCHEMA } from '../clients/ledger.ts';

type Ask = (database: string, sql: string) => Promise<{ readonly line: string }[]>;

/** What a run could have left on a server, a line each; its databases are given. */
export async function inventoryOf(databases: readonly string[], ask: Ask): Promise<string[]> {
  const lines = [
    ...databases.map((name) => `database ${name}`),
    ...(await ask('postgres', ON_SERVER)).map(({ line }) => line),
  ];
  for (const name of databases) {
    const found = await ask(name, IN_DATABASE).catch(() => [{ line: 'no connections taken' }]);
    lines.push(...found.map(({ line }) => `${line} in ${name}`));
  }
  return lines;
}

const ON_SERVER = `
select 'slot ' || slot_name as line from pg_replication_slots where not temporary
union all select 'settings of ' || coalesce(d.datname, 'every database') || ' for ' || coalesce(r.rolname, 'everybody')
  from pg_db_role_setting s left join pg_database d on d.oid = s.setdatabase left join pg_roles r on r.oid = s.setrole`;

const IN_DATABASE = `
select 'publication ' || pubname as line from pg_publication
union all select 'subscription ' || subname from pg_subscription
  where subdbid = (select oid from pg_database where datname = current_database())
union all select 'event trigger ' || evtname from pg_event_trigger
union all select 'trigger ' || tgname || ' on ' || tgrelid::regclass from pg_trigger where tgname like 'cutover%'
union all select 'schema ' || nspname from pg_namespace where nspname like 'cutover%' and nspname <> '${LEDGER_SCHEMA}'`;
