import { execFileSync } from 'node:child_process';
import { mkdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import { findTool } from '../src/databases/postgres/copy/tools.ts';
import { FileJournalStore } from '../src/journal/file.ts';
import { openCheck } from './helpers/check-contract.ts';
import { workplace, type Outcome } from './helpers/cli.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';

const pgDump = await findTool('pg_dump', undefined).catch(() => undefined);
const missing = [...(majors().includes(15) ? [] : ['PostgreSQL 15']), ...(pgDump ? [] : ['pg_dump'])];
const SKIPPED = missing.length > 0 ? ` (SKIPPED: ${missing.join(', ')} is not installed)` : '';
const test = missing.length > 0 ? ava.serial.skip : ava.serial;

let server: TestServer;
ava.before(async () => {
  if (missing.length === 0) server = await testServer(15);
});
ava.after.always(() => server?.stop());

const PLAYBOOK = `version: 1
name: shop
blue: \${DATABASE_URL}
migrate: [sql: { directory: . }]
verify:
  - schema
  - row-counts
  - checksums:
      ignore-columns: [items.touched, tiers.noted]
      as: { items.cents: (price * 100)::bigint }
  - sequences
  - foreign-keys
  - sql: { query: select sum(id) from items, same-on-both: true }
  - sql: { query: select count(*) from tiers, equals: 1 }
expect:
  dropped: [public.old, public.items.price]
  renamed: { public.items.label: public.items.name }
switch: { targets: [database-rename] }
gate: open
`;

const MIGRATION = `
drop table old; alter table items rename label to name;
alter table items add cents bigint; update items set cents = (price * 100)::bigint; alter table items drop price;
create table tiers (id int primary key, noted text); insert into tiers values (1);
`;

interface Scene {
  readonly live: string;
  readonly cutover: (...args: string[]) => Promise<Outcome>;
  readonly dump: (file: string, ...args: string[]) => void;
  readonly at: (file: string) => string;
  readonly file: (name: string, content: string) => Promise<string>;
}

async function scene(t: ExecutionContext): Promise<Scene> {
  const work = await workplace(t);
  await mkdir(join(work.folder, 'tmp'), { mode: 0o755 });
  await work.file('playbook.yml', PLAYBOOK);
  await work.file('V001__tiers.sql', MIGRATION);
  const live = await server.database('shop');
  await server.sql(
    `create table old (id int primary key); insert into old values (1);
     create table items (id serial primary key, label text, price numeric not null, touched timestamptz);
     insert into items (label, price) select 'item ' || i, i / 4.0 from generate_series(1, 400) i`,
    live,
  );
  const env = { DATABASE_URL: server.url(live), TMPDIR: join(work.folder, 'tmp') };
  const at = (file: string): string => join(work.folder, file);
  return {
    live,
    at,
    file: (name, content) => work.file(name, content),
    cutover: (...args) => work.cutover(args, env),
    dump: (file, ...args) =>
      void execFileSync(pgDump!, ['-Fc', ...args, `--file=${at(file)}`, server.url(live)]),
  };
}

const against = (file: string, ...more: string[]): string[] => [
  'verify',
  'playbook.yml',
  '--against',
  file,
  ...more,
];

test(`before any run blue is held against its backup, by the playbook's checks${SKIPPED}`, async (t) => {
  const { cutover, dump, at, live, file } = await scene(t);
  dump('whole.dump');
  // What the playbook leaves out is left out here, too.
  await server.sql(`update items set touched = now() where id = 5`, live);
  const same = await cutover(...against('whole.dump'));
  t.is(same.code, 0, same.out + same.err);
  t.regex(same.out, /restored to its end: whole\.dump \(custom of shop/);
  t.regex(same.out, /held against blue, so both are held to the same schema/);
  t.regex(same.out, /401 rows in 2 tables \(4 columns\) have the same checksums/);
  t.regex(same.out, /not compared: public\.items\.touched \(ignored\)/);
  t.regex(same.out, /not made against a backup: foreign-keys, sql, which/);
  t.regex(same.err, new RegExp(`${live} on .* \\(blue\\) and whole\\.dump .* \\(green\\)`));
  await server.sql(`update items set label = 'other' where id = 17`, live);
  const changed = await cutover(...against('whole.dump', '--json'));
  t.is(changed.code, 5, changed.err);
  const { proved, findings } = JSON.parse(changed.out) as {
    proved: boolean;
    findings: { check: string; severity: string; message: string; detail?: string }[];
  };
  t.false(proved);
  const failed = findings.filter(({ severity }) => severity === 'failure');
  t.deepEqual(
    failed.map(({ check, detail }) => [check, detail]),
    [['checksums', '  id=17: label differs']],
  );
  const elsewhere = await cutover(...against('whole.dump', '--tables', 'old', '--max-active', '50'));
  t.is(elsewhere.code, 0, elsewhere.out + elsewhere.err);
  await truncate(at('whole.dump'), (await readFile(at('whole.dump'))).length >> 1);
  const damaged = await cutover(...against('whole.dump'));
  t.is(damaged.code, 5, damaged.out + damaged.err);
  t.regex(damaged.out, /whole\.dump cannot be restored: /);
  t.notRegex(damaged.out, /same/);
  await file('playbook.yml', PLAYBOOK.replace(/verify:[^]*?(?=expect)/, 'verify: [foreign-keys, indexes]\n'));
  const none = await cutover(...against('whole.dump'));
  t.is(none.code, 2, none.err);
  t.regex(none.err, /none of the checks of the playbook can be made against a backup/);
});

test(`a backup that is older than the migrations is held to what they were to do${SKIPPED}`, async (t) => {
  const { cutover, dump, live } = await scene(t);
  dump('older.dump');
  dump('part.dump', '--table=items');
  const ran = await cutover('run', 'playbook.yml', '--yes');
  t.is(ran.code, 0, ran.err);
  dump('newer.dump');
  const older = await cutover(...against('older.dump'));
  t.is(older.code, 0, older.out + older.err);
  t.regex(older.out, /older than the migrations: it stands for blue/);
  t.regex(older.out, /400 rows in 1 table \(3 columns\) have the same checksums/);
  t.regex(older.out, /rows not compared: public\.cutover_migrations/);
  t.regex(older.err, new RegExp(`older\\.dump .* \\(blue\\) and ${live} on .* \\(green\\)`));
  const newer = await cutover(...against('newer.dump'));
  t.is(newer.code, 0, newer.out + newer.err);
  t.regex(newer.out, /held against green, so both are held to the same schema/);
  t.regex(newer.out, /rows in 3 tables/);
  // What it lacks may be what migrations have made, or not.
  const part = await cutover(...against('part.dump'));
  t.is(part.code, 5, part.out + part.err);
  t.regex(part.out, /the backup has no public\.tiers, .* cannot be told/);
  // A value that the migration has computed, and one that it has renamed.
  await server.sql(`update items set cents = 1 where id = 3; update items set name = 'x' where id = 4`, live);
  for (const [file, name] of [
    ['older.dump', 'label'],
    ['newer.dump', 'name'],
  ]) {
    const { code, out } = await cutover(...against(file!));
    t.is(code, 5, out);
    t.regex(out, /id=3: cents differs/, file);
    t.regex(out, new RegExp(`id=4: ${name} differs`), file);
  }
  // Blue is live again, as it was.
  const back = await cutover('swap-back', '--yes', '--accept-data-loss');
  t.is(back.code, 0, back.err);
  const again = await cutover(...against('older.dump'));
  t.is(again.code, 0, again.out + again.err);
  t.regex(again.out, /held against blue/);
  t.regex(again.out, /401 rows in 2 tables/);
});

test(`while it is not settled which side is live nothing is held against a backup${SKIPPED}`, async (t) => {
  const { cutover, dump, at } = await scene(t);
  const ran = await cutover('run', 'playbook.yml', '--yes');
  t.is(ran.code, 0, ran.err);
  dump('whole.dump');
  // As a process leaves it that dies in the middle of a swap back.
  const store = new FileJournalStore(at('.cutover'));
  const [run] = await store.list();
  const journal = await store.open(run!);
  await journal.append({ type: 'swap-back-started', operator: 'somebody', acceptDataLoss: true });
  await journal.close();
  const { code, out, err } = await cutover(...against('whole.dump'));
  t.is(code, 3, out + err);
  t.is(out, '');
  t.regex(err, new RegExp(`run ${run} is swapping back: it is not settled which side is live`));
  t.regex(err, new RegExp(`to finish: cutover swap-back ${run}`));
});

test('only what compares is made against a backup', (t) => {
  const comparing = Object.entries({
    schema: {},
    'row-counts': {},
    checksums: {},
    sequences: {},
    'foreign-keys': {},
    indexes: {},
    plans: { queries: ['select 1'] },
    sql: { query: 'select 1', equals: 1 },
    command: { run: 'true' },
    http: { url: 'http://127.0.0.1' },
  }).filter(([name, options]) => openCheck(name, options).compares);
  t.deepEqual(
    comparing.map(([name]) => name),
    ['schema', 'row-counts', 'checksums', 'sequences'],
  );
  t.true(openCheck('sql', { query: 'select 1', 'same-on-both': true }).compares);
});
