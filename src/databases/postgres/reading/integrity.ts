import type { ForeignKey, Index, Integrity, Path } from '../../../core/database/catalog.ts';
import { isServerError } from '../../../core/errors.ts';
import { quoteIdentifier, quoteLiteral, quotePath } from '../../../util/sql.ts';
import type { Ask } from '../catalog/catalog.ts';
import { path, userSchema } from '../catalog/sql.ts';

/** Lends a connection, for one statement or for several that see one state. */
export type Reading = <T>(work: (ask: Ask) => Promise<T>) => Promise<T>;

export const integrityOf = (reading: Reading): Integrity => ({
  foreignKeys: () => reading(foreignKeys),
  orphans: (key) => reading((ask) => orphans(ask, key)),
  indexes: () => reading(indexes),
  duplicates: (index) => reading((ask) => duplicates(ask, index)),
  damaged: (progress) => damaged(reading, progress),
  unanalyzed: () => reading(unanalyzed),
});

const pathOf = (text: string | null): Path => JSON.parse(text!) as Path;

/** Those of partitions are their parent's. */
async function foreignKeys(ask: Ask): Promise<ForeignKey[]> {
  const rows = await ask(
    `select ${path('n.nspname', 'c.relname')} as table, k.conname as name, ${path('rn.nspname', 'r.relname')} as references,
       k.convalidated as validated
     from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
     join pg_class r on r.oid = k.confrelid join pg_namespace rn on rn.oid = r.relnamespace
     where k.contype = 'f' and k.conparentid = 0 and ${userSchema('n')}
     order by n.nspname collate "C", c.relname collate "C", k.conname collate "C"`,
  );
  return rows.map((row) => ({
    table: pathOf(row['table']!),
    name: row['name']!,
    references: pathOf(row['references']!),
    validated: row['validated'] === 't',
  }));
}

const relationOf = (table: Path, kind: string | null | undefined): string =>
  `${kind === 'p' ? '' : 'only '}${quotePath(table)}`;

/** By the very operators that the constraint compares with. A key of which a column is NULL has no parent to have. */
async function orphans(ask: Ask, key: ForeignKey): Promise<bigint> {
  const columns = await ask(
    `select quote_ident(a.attname) as child, quote_ident(f.attname) as parent, k.confmatchtype as match,
       format('operator(%I.%s)', opn.nspname, o.oprname) as operator, c.relkind as kind, r.relkind as referenced
     from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_class r on r.oid = k.confrelid
     cross join unnest(k.conkey, k.confkey, k.conpfeqop) with ordinality u(child, parent, op, at)
     join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.child
     join pg_attribute f on f.attrelid = k.confrelid and f.attnum = u.parent
     join pg_operator o on o.oid = u.op join pg_namespace opn on opn.oid = o.oprnamespace
     where k.contype = 'f' and k.conrelid = ${quoteLiteral(quotePath(key.table))}::regclass and k.conname = ${quoteLiteral(key.name)}
     order by u.at`,
  );
  const [first] = columns;
  if (!first) throw new Error(`there is no foreign key ${key.name} any more`);
  const same = columns.map((row) => `p.${row['parent']} ${row['operator']} c.${row['child']}`).join(' and ');
  const any = columns
    .map((row) => `c.${row['child']} is not null`)
    .join(first['match'] === 'f' ? ' or ' : ' and ');
  const [row] = await ask(
    `select count(*) as n from ${relationOf(key.table, first['kind'])} c
     where (${any}) and not exists (select from ${relationOf(key.references, first['referenced'])} p where ${same})`,
  );
  return BigInt(row!['n']!);
}

async function indexes(ask: Ask): Promise<Index[]> {
  const rows = await ask(
    `select ${path('n.nspname', 'c.relname', 'i.relname')} as path, x.indisvalid and x.indisready as valid, x.indisunique as unique
     from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class c on c.oid = x.indrelid
     join pg_namespace n on n.oid = c.relnamespace where ${userSchema('n')} and c.relkind in ('r', 'p', 'm')
     order by n.nspname collate "C", c.relname collate "C", i.relname collate "C"`,
  );
  return rows.map((row) => ({
    path: pathOf(row['path']!),
    valid: row['valid'] === 't',
    unique: row['unique'] === 't',
  }));
}

const indexOid = ([schema, , name]: Path): string => `${quoteLiteral(quotePath([schema!, name!]))}::regclass`;

async function duplicates(ask: Ask, index: Index): Promise<bigint> {
  const keys = await ask(
    `select pg_get_indexdef(x.indexrelid, k.at::int, false) as key, c.relkind as kind, pg_get_expr(x.indpred, x.indrelid) as predicate,
       coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false) as nulls_equal
     from pg_index x join pg_class c on c.oid = x.indrelid cross join generate_series(1, x.indnkeyatts) k(at)
     where x.indexrelid = ${indexOid(index.path)} order by k.at`,
  );
  const [first] = keys;
  if (!first) throw new Error(`there is no index ${quoteIdentifier(index.path[2]!)} any more`);
  const list = keys.map(({ key }) => `(${key})`);
  const conditions = [
    ...(first['nulls_equal'] === 't' ? [] : list.map((key) => `${key} is not null`)),
    ...(first['predicate'] === null ? [] : [`(${first['predicate']})`]),
  ];
  const where = conditions.length > 0 ? `where ${conditions.join(' and ')}` : '';
  // The index itself is what is in doubt.
  await ask('set local enable_indexscan = off');
  await ask('set local enable_indexonlyscan = off');
  await ask('set local enable_bitmapscan = off');
  const [row] = await ask(
    `select count(*) as n from (select 1 from ${relationOf(index.path.slice(0, 2), first['kind'])} ${where}
     group by ${list.join(', ')} having count(*) > 1) d`,
  );
  return BigInt(row!['n']!);
}

async function damaged(
  reading: Reading,
  progress: ((done: number, total: number) => void) | undefined,
): Promise<{ path: Path; complaint: string }[] | undefined> {
  const list = await reading(async (ask) => {
    const [extension] = await ask(
      `select quote_ident(n.nspname) as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'amcheck'`,
    );
    if (!extension) return undefined;
    const rows = await ask(
      `select ${path('n.nspname', 'c.relname', 'i.relname')} as path from pg_index x join pg_class i on i.oid = x.indexrelid
       join pg_class c on c.oid = x.indrelid join pg_namespace n on n.oid = c.relnamespace join pg_am a on a.oid = i.relam
       where a.amname = 'btree' and i.relkind = 'i' and i.relpersistence <> 't' and x.indisvalid and x.indisready and ${userSchema('n')}`,
    );
    return { schema: extension['schema']!, paths: rows.map((row) => pathOf(row['path']!)) };
  });
  if (!list) return undefined;
  const found: { path: Path; complaint: string }[] = [];
  for (const [done, index] of list.paths.entries()) {
    progress?.(done, list.paths.length);
    try {
      await reading((ask) => ask(`select ${list.schema}.bt_index_check(${indexOid(index)}, true)`));
    } catch (error) {
      // Index and data corrupted; whatever else it is says nothing of the index.
      if (!isServerError(error) || !['XX001', 'XX002'].includes(error.code)) throw error;
      found.push({ path: index, complaint: error.message });
    }
  }
  return found;
}

async function unanalyzed(ask: Ask): Promise<Path[]> {
  const rows = await ask(
    `select ${path('n.nspname', 'c.relname')} as path from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and c.relpersistence <> 't' and ${userSchema('n')} and pg_relation_size(c.oid) > 0
       and not exists (select from pg_statistic s where s.starelid = c.oid)
       and exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
     order by n.nspname collate "C", c.relname collate "C"`,
  );
  return rows.map((row) => pathOf(row['path']!));
}
