import { notWatcher } from '../live/objects/ddl.ts';
import { FENCE_TRIGGER, FENCE_TRUNCATE } from '../live/objects/names.ts';
import { commentLine, lines, notOfExtension, optionsLine, path, userSchema } from './sql.ts';

/** Relations that parts hang on, with their schema. */
const owner = (column: string): string =>
  `join pg_class c on c.oid = ${column} join pg_namespace n on n.oid = c.relnamespace`;
const userOwner = `${userSchema('n')} and ${notOfExtension('pg_class', 'c.oid')}`;

/** How a trigger or rule fires, when it is not the usual way. */
const firing = (column: string): string =>
  `case ${column} when 'D' then 'disabled' when 'R' then 'fires on replica' when 'A' then 'fires always' end`;

// NOT NULL is a constraint of its own from 18 on, but the columns say it on every version. Copies of a foreign key
// that the server makes for partitions carry names of its own choice.
export const constraints = `
select 'constraint' kind, ${path('n.nspname', 'c.relname', 'o.conname')} path,
  ${lines('pg_get_constraintdef(o.oid)', commentLine('pg_constraint', 'o.oid'))} definition
from pg_constraint o ${owner('o.conrelid')}
where o.contype not in ('n', 't') and not (o.contype = 'f' and o.conparentid <> 0) and ${userOwner}`;

export const indexes = `
select 'index' kind, ${path('n.nspname', 'c.relname', 'x.relname')} path,
  ${lines(
    'pg_get_indexdef(x.oid)',
    `case when not i.indisvalid then 'invalid' end`,
    `case when not i.indisready then 'not ready' end`,
    `case when i.indisclustered then 'clustered' end`,
    `case when i.indisreplident then 'replica identity' end`,
    `(select 'tablespace ' || s.spcname from pg_tablespace s where s.oid = x.reltablespace)`,
    commentLine('pg_class', 'x.oid'),
  )} definition
from pg_index i join pg_class x on x.oid = i.indexrelid ${owner('i.indrelid')} where ${userOwner}`;

export const triggers = `
select 'trigger' kind, ${path('n.nspname', 'c.relname', 't.tgname')} path,
  ${lines('pg_get_triggerdef(t.oid)', firing('t.tgenabled'), commentLine('pg_trigger', 't.oid'))} definition
from pg_trigger t ${owner('t.tgrelid')} where not t.tgisinternal and t.tgparentid = 0
  and t.tgname not in ('${FENCE_TRIGGER}', '${FENCE_TRUNCATE}') and ${userOwner}`;

export const rules = `
select 'rule' kind, ${path('n.nspname', 'c.relname', 'r.rulename')} path,
  ${lines('pg_get_ruledef(r.oid)', firing('r.ev_enabled'), commentLine('pg_rewrite', 'r.oid'))} definition
from pg_rewrite r ${owner('r.ev_class')} where r.rulename <> '_RETURN' and ${userOwner}`;

export const policies = `
select 'policy' kind, ${path('n.nspname', 'c.relname', 'p.polname')} path,
  ${lines(
    `concat_ws(' ', case when p.polpermissive then 'permissive' else 'restrictive' end,
      case p.polcmd when 'r' then 'for select' when 'a' then 'for insert' when 'w' then 'for update'
        when 'd' then 'for delete' else 'for all' end,
      'to ' || (select string_agg(case role when 0 then 'public' else quote_ident(pg_get_userbyid(role)) end, ', '
        order by pg_get_userbyid(role) collate "C") from unnest(p.polroles) role),
      'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
      'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')`,
    commentLine('pg_policy', 'p.oid'),
  )} definition
from pg_policy p ${owner('p.polrelid')} where ${userOwner}`;

export const statistics = `
select 'statistics' kind, ${path('n.nspname', 'c.relname', 's.stxname')} path,
  ${lines(
    'pg_get_statisticsobjdef(s.oid)',
    `case when s.stxstattarget >= 0 then 'statistics ' || s.stxstattarget end`,
    commentLine('pg_statistic_ext', 's.oid'),
  )} definition
from pg_statistic_ext s ${owner('s.stxrelid')} where ${userOwner}`;

export const eventTriggers = `
select 'event trigger' kind, ${path('e.evtname')} path,
  ${lines(
    `concat_ws(' ', e.evtevent, 'tags ' || array_to_string(e.evttags, ', '),
      'execute ' || format('%I.%I', n.nspname, p.proname))`,
    firing('e.evtenabled'),
    `'owner ' || pg_get_userbyid(e.evtowner)`,
    commentLine('pg_event_trigger', 'e.oid'),
  )} definition
from pg_event_trigger e join pg_proc p on p.oid = e.evtfoid join pg_namespace n on n.oid = p.pronamespace
where ${notOfExtension('pg_event_trigger', 'e.oid')} and ${notWatcher('e.evtname')}`;

/** Storage parameters of a table's TOAST part, which ALTER TABLE sets under the table's name. */
export const toastOptions = `
select 'toast options' kind, ${path('n.nspname', 'c.relname', `'toast'`)} path,
  ${optionsLine('x.reloptions')} definition
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_class x on x.oid = c.reltoastrelid
where x.reloptions is not null and ${userOwner}`;
