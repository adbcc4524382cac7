import type { Ask } from '../catalog/catalog.ts';

/** Texts with `$1` in place of values, as the extension keeps them. Undefined where it is not installed or not loaded. */
export async function heaviest(ask: Ask, count: number): Promise<string[] | undefined> {
  const [extension] = await ask(
    `select quote_ident(n.nspname) as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace
     where e.extname = 'pg_stat_statements' and current_setting('shared_preload_libraries') ~ '\\ypg_stat_statements\\y'`,
  );
  if (!extension) return undefined;
  const rows = await ask(
    `select s.query from ${extension['schema']}.pg_stat_statements s join pg_database d on d.oid = s.dbid
     where d.datname = current_database() and s.toplevel and s.query ~* '^\\s*(select|insert|update|delete|merge|with)\\y'
     order by s.total_exec_time desc limit ${count}`,
  );
  return rows.map((row) => row['query']!);
}
