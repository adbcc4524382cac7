import {
  aclLine,
  commentLine,
  lines,
  notImplied,
  notOfExtension,
  ownerLine,
  path,
  secretOptionsLine,
  userSchema,
} from './sql.ts';

const inSchema = (column: string): string => `join pg_namespace n on n.oid = ${column}`;
/** Objects below this id came with the server. */
const FIRST_USER_OID = 16384;
const args = 'pg_get_function_identity_arguments(p.oid)';

export const functions = `
select case p.prokind when 'p' then 'procedure' else 'function' end kind, ${path('n.nspname', 'p.proname', args)} path,
  ${lines(`rtrim(pg_get_functiondef(p.oid), E'\\n')`, ownerLine('p.proowner'), aclLine('p.proacl'), commentLine('pg_proc', 'p.oid'))}
  definition
from pg_proc p ${inSchema('p.pronamespace')}
where p.prokind <> 'a' and ${userSchema('n')} and ${notImplied('pg_proc', 'p.oid')}`;

export const aggregates = `
select 'aggregate' kind, ${path('n.nspname', 'p.proname', args)} path,
  ${lines(
    `concat_ws(' ', a.aggkind::text, pg_get_function_result(p.oid), 'sfunc ' || a.aggtransfn::regprocedure,
      'stype ' || format_type(a.aggtranstype, null), 'final ' || nullif(a.aggfinalfn::oid, 0)::regprocedure,
      'combine ' || nullif(a.aggcombinefn::oid, 0)::regprocedure, 'initial ' || a.agginitval,
      'moving ' || nullif(a.aggmtransfn::oid, 0)::regprocedure, 'sort ' || nullif(a.aggsortop, 0)::regoperator,
      p.proparallel::text)`,
    ownerLine('p.proowner'),
    aclLine('p.proacl'),
    commentLine('pg_proc', 'p.oid'),
  )} definition
from pg_aggregate a join pg_proc p on p.oid = a.aggfnoid ${inSchema('p.pronamespace')}
where ${userSchema('n')} and ${notImplied('pg_proc', 'p.oid')}`;

const domain = `concat_ws(' ', 'domain', format_type(t.typbasetype, t.typtypmod),
  (select 'collate ' || format('%I.%I', cn.nspname, co.collname) from pg_collation co
   join pg_namespace cn on cn.oid = co.collnamespace join pg_type b on b.oid = t.typbasetype
   where co.oid = t.typcollation and t.typcollation <> b.typcollation),
  case when t.typnotnull then 'not null' end, 'default ' || t.typdefault,
  (select string_agg(format('constraint %I %s', o.conname, pg_get_constraintdef(o.oid)), ' '
    order by o.conname collate "C") from pg_constraint o where o.contypid = t.oid and o.contype <> 'n'))`;

export const types = `
select 'type' kind, ${path('n.nspname', 't.typname')} path,
  ${lines(
    `case t.typtype
      when 'e' then (select 'enum (' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) || ')'
        from pg_enum e where e.enumtypid = t.oid)
      when 'd' then ${domain}
      when 'c' then 'composite (' || coalesce((select string_agg(quote_ident(a.attname) || ' '
        || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum) from pg_attribute a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped), '') || ')'
      when 'r' then (select concat_ws(' ', 'range of', format_type(r.rngsubtype, null),
        'canonical ' || nullif(r.rngcanonical::oid, 0)::regprocedure,
        'difference ' || nullif(r.rngsubdiff::oid, 0)::regprocedure) from pg_range r where r.rngtypid = t.oid)
      else concat_ws(' ', 'base', t.typinput::regproc, t.typoutput::regproc, t.typlen, t.typalign::text) end`,
    ownerLine('t.typowner'),
    aclLine('t.typacl'),
    commentLine('pg_type', 't.oid'),
  )} definition
from pg_type t ${inSchema('t.typnamespace')} left join pg_class r on r.oid = t.typrelid
where t.typtype in ('e', 'd', 'c', 'r', 'b') and (t.typtype <> 'c' or r.relkind = 'c')
  and not exists (select from pg_type item where item.typarray = t.oid)
  and ${userSchema('n')} and ${notOfExtension('pg_type', 't.oid')}`;

export const collations = `
select 'collation' kind, ${path('n.nspname', 'c.collname')} path,
  ${lines(
    `concat_ws(' ', c.collprovider::text, c.collcollate, c.collctype,
      to_jsonb(c) ->> 'colliculocale', to_jsonb(c) ->> 'colllocale',
      case when not c.collisdeterministic then 'not deterministic' end)`,
    ownerLine('c.collowner'),
    commentLine('pg_collation', 'c.oid'),
  )} definition
from pg_collation c ${inSchema('c.collnamespace')}
where ${userSchema('n')} and ${notOfExtension('pg_collation', 'c.oid')}`;

export const extensions = `
select 'extension' kind, ${path('x.extname')} path,
  ${lines(`format('version %s in %I', x.extversion, n.nspname)`, ownerLine('x.extowner'))} definition
from pg_extension x ${inSchema('x.extnamespace')}`;

export const casts = `
select 'cast' kind, ${path(`format('(%s as %s)', format_type(k.castsource, null), format_type(k.casttarget, null))`)} path,
  ${lines(`concat_ws(' ', k.castmethod::text, k.castcontext::text, nullif(k.castfunc, 0)::regprocedure)`, commentLine('pg_cast', 'k.oid'))}
  definition
from pg_cast k where k.oid >= ${FIRST_USER_OID} and ${notImplied('pg_cast', 'k.oid')}`;

export const operators = `
select 'operator' kind,
  ${path('n.nspname', 'o.oprname', `format('%s, %s', format_type(nullif(o.oprleft, 0), null), format_type(o.oprright, null))`)} path,
  ${lines(
    `concat_ws(' ', o.oprcode::regprocedure, format_type(o.oprresult, null),
      'commutator ' || nullif(o.oprcom, 0)::regoperator, 'negator ' || nullif(o.oprnegate, 0)::regoperator)`,
    ownerLine('o.oprowner'),
    commentLine('pg_operator', 'o.oid'),
  )} definition
from pg_operator o ${inSchema('o.oprnamespace')}
where o.oprcode <> 0 and ${userSchema('n')} and ${notOfExtension('pg_operator', 'o.oid')}
union all
select 'operator class', ${path('n.nspname', 'o.opcname', 'am.amname')},
  ${lines(`concat_ws(' ', format_type(o.opcintype, null), case when o.opcdefault then 'default' end)`, ownerLine('o.opcowner'), commentLine('pg_opclass', 'o.oid'))}
from pg_opclass o ${inSchema('o.opcnamespace')} join pg_am am on am.oid = o.opcmethod
where ${userSchema('n')} and ${notOfExtension('pg_opclass', 'o.oid')}`;

export const textSearch = `
select 'text search configuration' kind, ${path('n.nspname', 'c.cfgname')} path,
  ${lines(
    `(select string_agg(format('%s %s %s', m.maptokentype, m.mapseqno, m.mapdict::regdictionary), E'\\n'
      order by m.maptokentype, m.mapseqno) from pg_ts_config_map m where m.mapcfg = c.oid)`,
    ownerLine('c.cfgowner'),
    commentLine('pg_ts_config', 'c.oid'),
  )} definition
from pg_ts_config c ${inSchema('c.cfgnamespace')}
where ${userSchema('n')} and ${notOfExtension('pg_ts_config', 'c.oid')}
union all
select 'text search dictionary', ${path('n.nspname', 'd.dictname')},
  ${lines('t.tmplname::text', 'd.dictinitoption', ownerLine('d.dictowner'), commentLine('pg_ts_dict', 'd.oid'))}
from pg_ts_dict d ${inSchema('d.dictnamespace')} join pg_ts_template t on t.oid = d.dicttemplate
where ${userSchema('n')} and ${notOfExtension('pg_ts_dict', 'd.oid')}`;

export const foreign = `
select 'foreign data wrapper' kind, ${path('w.fdwname')} path,
  ${lines(secretOptionsLine('w.fdwoptions'), ownerLine('w.fdwowner'), aclLine('w.fdwacl'))} definition
from pg_foreign_data_wrapper w where ${notOfExtension('pg_foreign_data_wrapper', 'w.oid')}
union all
select 'foreign server', ${path('s.srvname')},
  ${lines(`concat_ws(' ', 'wrapper ' || w.fdwname, 'type ' || s.srvtype, 'version ' || s.srvversion)`, secretOptionsLine('s.srvoptions'), ownerLine('s.srvowner'), aclLine('s.srvacl'), commentLine('pg_foreign_server', 's.oid'))}
from pg_foreign_server s join pg_foreign_data_wrapper w on w.oid = s.srvfdw
where ${notOfExtension('pg_foreign_server', 's.oid')}
union all
select 'user mapping', ${path('m.srvname', 'm.usename')}, coalesce(${secretOptionsLine('m.umoptions')}, 'no options seen')
from pg_user_mappings m`;

export const languages = `
select 'language' kind, ${path('l.lanname')} path, ${lines(ownerLine('l.lanowner'), aclLine('l.lanacl'))} definition
from pg_language l where l.oid >= ${FIRST_USER_OID} and ${notOfExtension('pg_language', 'l.oid')}`;

export const defaultPrivileges = `
select 'default privileges' kind,
  ${path('pg_get_userbyid(a.defaclrole)', `coalesce(n.nspname, '')`, `a.defaclobjtype::text`)} path,
  coalesce(${aclLine('a.defaclacl')}, 'none') definition
from pg_default_acl a left join pg_namespace n on n.oid = a.defaclnamespace`;
