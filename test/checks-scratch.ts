import { testServer } from './helpers/postgres.ts';
import { createReader, prepareReaderSession } from '../src/databases/postgres/reader.ts';
import { catalogFingerprint } from '../src/databases/postgres/catalog.ts';
const s = await testServer(Number(process.argv[2] ?? 18));
try {
  const db = await s.database();
  const c = await s.connect(db);
  await c.query(`create table acc (aid int not null primary key, bid int, abalance int, filler char(84));
   insert into acc select i, i/100, 0, '' from generate_series(1,1000000) i; 
   create table mixed as select i::bigint as id, now() - i * interval $q$1 s$q$ as at, (i*0.37)::numeric(12,2) as n, i*0.1::float8 as f, md5(i::text) as t, jsonb_build_object($q$a$q$, i) as j from generate_series(1,1000000) i`); await c.query('vacuum analyze');
  const rc = await s.connect(db); await prepareReaderSession(rc); const r = createReader(rc);
  const cat = await r.catalog();
  const time = async (l: string, f: () => Promise<unknown>) => { const a: number[] = []; for (let i = 0; i < 3; i++) { const t = performance.now(); await f(); a.push(performance.now() - t); } console.log(l, a.sort((x, y) => x - y)[1]!.toFixed(0), 'ms'); };
  for (const t of cat.tables) {
    await time(`count ${t.path[1]}`, () => r.countRows(t.path));
    await time(`checksum ${t.path[1]}`, () => r.checksum(t.path, t.columns.map((x) => ({ name: x.name, as: x.type, nullable: x.nullable }))));
    for (const x of t.columns) await time(`   ${x.name} ${x.type}`, () => r.checksum(t.path, [{ name: x.name, as: x.type, nullable: x.nullable }]));
  }
  await c.query(`do $$ begin for i in 1..5000 loop execute format('create table t%s (id serial primary key, a int not null default 0, b text, c timestamptz default now())', i); if i % 500 = 0 then commit; end if; end loop; end $$`);
  await c.query('analyze');
  await time('catalog 5000', () => r.catalog());
  await time('sequences 5000', () => r.sequences());
  const k = await r.catalog(); console.log(k.objects.length);
  await time('fingerprint', async () => catalogFingerprint(k));
} finally { await s.stop(); }
