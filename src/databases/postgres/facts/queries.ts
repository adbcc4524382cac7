import { notWatcher } from '../live/objects/ddl.ts';

/** What the server and the role are; one row. `$1` is blue's object id. */
export const SERVER = `
  select current_setting('server_version') as version,
         current_setting('server_version_num')::int / 10000 as major,
         (select system_identifier::text from pg_control_system()) as identifier,
         pg_is_in_recovery() as in_recovery,
         current_setting('file_copy_method', true) as file_copy_method,
         r.rolname as role, r.rolsuper as superuser, r.rolcreatedb as create_database,
         r.rolbypassrls as bypass_rls, r.rolcreaterole as create_role,
         r.rolsuper or pg_has_role(r.oid, d.datdba, 'USAGE') as owns_blue,
         r.rolsuper or pg_has_role(r.oid, 'pg_signal_backend', 'MEMBER') as can_signal,
         o.rolname as owner, d.datname as name, d.datallowconn as open, d.datistemplate as is_template,
         d.datconnlimit as connection_limit, pg_database_size(d.oid)::float8 as bytes,
         pg_encoding_to_char(d.encoding) as encoding, d.datcollate as collate, d.datctype as ctype,
         case to_jsonb(d) ->> 'datlocprovider' when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end as provider,
         coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale,
         shobj_description(d.oid, 'pg_database') as comment, d.datacl is not null as has_acl
  from pg_database d join pg_roles o on o.oid = d.datdba, pg_roles r
  where d.oid = $1 and r.rolname = current_user`;

export const PRIVILEGES = `
  select coalesce(g.rolname, '') as grantee, b.rolname as grantor, a.privilege_type as privilege, a.is_grantable as grantable
  from pg_database d, aclexplode(d.datacl) a
  left join pg_roles g on g.oid = a.grantee left join pg_roles b on b.oid = a.grantor
  where d.oid = $1 order by 1, 2, 3`;

export const SETTINGS = `
  select coalesce(r.rolname, '') as role,
         split_part(c, '=', 1) as name, substr(c, strpos(c, '=') + 1) as value,
         coalesce((select context like 'superuser%' from pg_settings p where p.name = split_part(c, '=', 1)), false) as restricted
  from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) as c
  where s.setdatabase = $1 order by 1, 2`;

export const DATABASES = `
  select datname as name, oid::int8::float8 as oid, shobj_description(oid, 'pg_database') as comment
  from pg_database order by datname`;

/**
 * Without pg_read_all_stats the sessions of other roles show little more than their user: whether they are in a
 * transaction is then seen by the lock that every transaction holds on itself, and its age is not known.
 */
export const SESSIONS = `
  select pid, coalesce(usename, '') as user, coalesce(application_name, '') as application,
         coalesce(backend_type, case when usesysid is null then 'autovacuum worker' else 'client backend' end) as kind,
         coalesce(state, '') as state, left(coalesce(query, ''), 200) as query,
         coalesce((select rolsuper from pg_roles r where r.oid = usesysid), false) as superuser,
         case when backend_type is not null then extract(epoch from clock_timestamp() - xact_start)::float8
              when pid in (select pid from pg_locks where locktype = 'virtualxid' and mode = 'ExclusiveLock') then 0
         end as seconds
  from pg_stat_activity where datid = $1 and pid <> all($2::int[]) order by pid`;

/** Lists of names that stop or concern a run, from inside blue; one row of arrays. */
export const OBJECTS = `
  with own as (
    select c.oid, c.relkind, c.relpersistence, c.relrowsecurity, format('%I.%I', n.nspname, c.relname) as name, c.reltuples
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  )
  select
    (select count(*) from pg_class)::int as relations,
    (select count(*) from own where relkind in ('r', 'p'))::int as tables,
    (select coalesce(sum(greatest(reltuples, 0)), 0) from own where relkind = 'r')::float8 as estimated_rows,
    array(select name from own where relkind in ('r', 'p') and relrowsecurity and row_security_active(oid) order by 1) as row_security,
    array(select name from own where relkind in ('r', 'p', 'm', 'S')
          and not case relkind when 'S' then has_sequence_privilege(oid, 'SELECT') else has_table_privilege(oid, 'SELECT') end
          order by 1)
      || array(select format('schema %I', nspname) from pg_namespace
               where nspname !~ '^pg_' and nspname <> 'information_schema' and not has_schema_privilege(oid, 'USAGE')) as unreadable,
    array(select name from own where relkind = 'r' and relpersistence = 'u' order by 1) as unlogged,
    (select count(*) from pg_largeobject_metadata)::int as large_objects,
    array(select name from own where relkind = 'm' order by 1) as materialized_views,
    array(select o.name from pg_index i join own o on o.oid = i.indexrelid where not i.indisvalid and o.relkind = 'i' order by 1)
      as invalid_indexes,
    array(select format('%I on %s', x.conname, o.name) from pg_constraint x join own o on o.oid = x.conrelid
          where not x.convalidated order by 1) as not_valid_constraints,
    array(select format('%I', pubname) from pg_publication order by 1) as publications,
    array(select format('%I', subname) from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())
          order by 1) as subscriptions,
    array(select format('%I', slot_name) from pg_replication_slots where database = current_database() order by 1) as logical_slots,
    array(select format('%L by %I', gid, owner) from pg_prepared_xacts where database = current_database() order by 1)
      as prepared_transactions,
    array(select format('%I', evtname) from pg_event_trigger where ${notWatcher('evtname')} order by 1) as event_triggers,
    array(select format('%I', srvname) from pg_foreign_server order by 1) as foreign_servers,
    array(select format('%I', extname) from pg_extension where extname in ('pg_cron', 'pg_partman', 'dblink', 'timescaledb', 'pglogical')
          order by 1) as background_extensions,
    current_setting('default_transaction_read_only') = 'on' as read_only`;
