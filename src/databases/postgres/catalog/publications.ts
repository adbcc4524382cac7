import { WAY_PATTERN } from '../live/objects/names.ts';
import { commentLine, lines, notOfExtension, path } from './sql.ts';

// Column lists, row filters and whole schemas came with 15.
const MEMBERS_14 = `
      select 'table ' || format('%I.%I', n.nspname, c.relname) as line
      from pg_publication_rel r join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace where r.prpubid = p.oid`;

const MEMBERS_15 = `
      select concat_ws(' ', 'table', format('%I.%I', n.nspname, c.relname),
        '(' || (select string_agg(quote_ident(a.attname), ', ' order by a.attname collate "C") from pg_attribute a
          where a.attrelid = c.oid and a.attnum = any (r.prattrs)) || ')',
        'where (' || pg_get_expr(r.prqual, r.prrelid) || ')') as line
      from pg_publication_rel r join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace where r.prpubid = p.oid
      union all
      select 'schema ' || quote_ident(n.nspname) from pg_publication_namespace s
      join pg_namespace n on n.oid = s.pnnspid where s.pnpubid = p.oid`;

const publicationsWith = (members: string): string => `
select 'publication' kind, ${path('p.pubname')} path,
  ${lines(
    `concat_ws(' ', case when p.puballtables then 'all tables' end, case when p.pubinsert then 'insert' end,
      case when p.pubupdate then 'update' end, case when p.pubdelete then 'delete' end,
      case when p.pubtruncate then 'truncate' end, case when p.pubviaroot then 'via root' end)`,
    `(select string_agg(line, E'\\n' order by line collate "C") from (${members}) members)`,
    `'owner ' || pg_get_userbyid(p.pubowner)`,
    commentLine('pg_publication', 'p.oid'),
  )} definition
from pg_publication p where p.pubname not like '${WAY_PATTERN}' and ${notOfExtension('pg_publication', 'p.oid')}`;

/** Publications, as a server of this major version describes them. */
export const publications = (major: number): string => publicationsWith(major < 15 ? MEMBERS_14 : MEMBERS_15);
