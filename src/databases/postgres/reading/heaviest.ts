import type { StatementTimes } from '../../../core/database/live.ts';
import type { Ask } from '../catalog/catalog.ts';

/** One row with the quoted name of the extension's schema, where it is installed and loaded. */
const WHERE_IT_IS = `
select quote_ident(n.nspname) as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace
where e.extname = 'pg_stat_statements' and current_setting('shared_preload_libraries') ~ '\\ypg_stat_statements\\y'`;

/** What statements of this database took so far. A cut-off or forgotten one is not there. Undefined as below. */
export async function statementTimes(ask: Ask): Promise<StatementTimes | undefined> {
  const [extension] = await ask(WHERE_IT_IS);
  if (!extension) return undefined;
  const rows = await ask(
    `select s.query, sum(s.calls)::text as calls, sum(s.total_exec_time)::text as ms
     from ${extension['schema']}.pg_stat_statements s join pg_database d on d.oid = s.dbid
     where d.datname = current_database() and s.query is not null group by 1`,
  );
  return new Map(rows.map(({ query, calls, ms }) => [query!, { calls: Number(calls), ms: Number(ms) }]));
}

/** Texts with `$1` in place of values, as the extension keeps them. Undefined where it is not installed or not loaded. */
export async function heaviest(ask: Ask, count: number): Promise<string[] | undefined> {
  const [extension] = await ask(WHERE_IT_IS);
  if (!extension) return undefined;
  const rows = await ask(
    `select s.query from ${extension['schema']}.pg_stat_statements s join pg_database d on d.oid = s.dbid
     where d.datname = current_database() and s.toplevel and s.query ~* '^\\s*(select|insert|update|delete|merge|with)\\y'
     order by s.total_exec_time desc limit ${count}`,
  );
  return rows.map((row) => row['query']!);
}
