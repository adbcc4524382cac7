import test from 'ava';
import { failures, openCheck, pairOf, said, type Pair } from './helpers/check-contract.ts';
import type { CheckContext } from '../src/core/drivers/check.ts';
import { quoteIdentifier, quoteLiteral, quotePath } from '../src/util/sql.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { MADE, VALUES } from './helpers/type-values.ts';

const MAJORS = [15, 18] as const;
const servers: TestServer[] = [];
let pair: Pair;

// Settings of which no comparison may take notice.
const ODD: Readonly<Record<number, string>> = {
  15: `set timezone to 'Asia/Kolkata'; set datestyle to 'SQL, DMY'; set intervalstyle to 'iso_8601'; set bytea_output to 'escape'; set search_path to made, public`,
  18: `set timezone to 'America/New_York'; set datestyle to 'German'; set intervalstyle to 'sql_standard'; set extra_float_digits to 0`,
};
/** Values say the same wherever they are written. */
const SAFE = `set timezone to 'UTC'; set datestyle to 'ISO, YMD'; set search_path to public; set intervalstyle to 'postgres'`;

/** A type by its schema and name, as `VALUES` calls it, and as SQL. */
interface Kind {
  readonly name: string;
  readonly sql: string;
}

/** A way in which a column can have a type; its values are made of the type's own. */
interface Form {
  readonly table: string;
  prepare?(kind: Kind): string;
  sql(kind: Kind): string;
  values(kind: Kind, own: readonly string[]): string[];
}

const beside = (what: string, { name }: Kind): string => quotePath(['made', `${what} of ${name}`]);

const FORMS: readonly Form[] = [
  { table: 'plain', sql: ({ sql }) => sql, values: (_, own) => [...own] },
  {
    table: 'arrays',
    sql: ({ sql }) => `${sql}[]`,
    values: ({ sql }, own) => [
      `'{}'::${sql}[]`,
      `array[null]::${sql}[]`,
      ...own.map((value) => `array[${value}]`),
      `array[${own[0]}, null]`,
      `array[null, ${own[0]}]`,
      `array[[${own[0]}]]`,
      `array_fill(${own[0]}, array[1], array[0])`,
    ],
  },
  {
    table: 'domains',
    prepare: (kind) => `create domain ${beside('domain', kind)} as ${kind.sql}`,
    sql: (kind) => beside('domain', kind),
    values: (kind, own) => own.map((value) => `${value}::${beside('domain', kind)}`),
  },
  {
    table: 'composites',
    prepare: (kind) => `create type ${beside('row', kind)} as (n int, v ${kind.sql})`,
    sql: (kind) => beside('row', kind),
    values: (kind, own) => [
      `row(null, null)::${beside('row', kind)}`,
      `row(1, null)::${beside('row', kind)}`,
      ...own.map((value) => `row(1, ${value})::${beside('row', kind)}`),
    ],
  },
];

const valuesOf = (form: Form, kind: Kind): string[] =>
  form.values(
    kind,
    VALUES[kind.name]!.map((value) => `${quoteLiteral(value)}::${kind.sql}`),
  );

let kinds: Kind[];

/** Types of which a column can be, and no arrays, which are made of them; the server says whether they take a value. */
async function kindsOf(side: Pair['blue']): Promise<Kind[]> {
  const { rows } = await side.query<{ schema: string; name: string; oid: number }>(
    `select n.nspname as schema, t.typname as name, t.oid::int8::int as oid from pg_type t join pg_namespace n on n.oid = t.typnamespace
     where (t.typtype in ('b', 'r', 'm', 'e', 'd') or t.typtype = 'c' and (select relkind from pg_class where oid = t.typrelid) = 'c')
       and not exists (select from pg_type item where item.typarray = t.oid) and n.nspname <> 'pg_toast'`,
  );
  const found: Kind[] = [];
  for (const { schema, name } of rows) {
    const sql = quotePath([schema, name]);
    const refused = await side.query(`select 'x'::${sql}`).then(
      () => undefined,
      (error: { code: string }) => error.code,
    );
    // feature_not_supported: statistics and their like, which nobody can write.
    if (refused !== '0A000') found.push({ name: schema === 'pg_catalog' ? name : `${schema}.${name}`, sql });
  }
  return found;
}

test.before(async () => {
  const places = [];
  for (const major of MAJORS) {
    const server = await testServer(major);
    servers.push(server);
    const name = await server.database('types');
    for (const setting of ODD[major]!.split(';'))
      await server.sql(`alter database "${name}" ${setting.trim()}`);
    places.push({ server, name });
  }
  pair = await pairOf(places[0]!, places[1]!);
  for (const side of [pair.blue, pair.green]) await side.query(`${SAFE}; ${MADE}`);
  const there = new Set((await kindsOf(pair.green)).map(({ name }) => name));
  kinds = (await kindsOf(pair.blue)).filter(({ name }) => there.has(name));
});
test.after.always(async () => {
  await pair?.end();
  await Promise.all(servers.map((server) => server.stop()));
});

/** The table of a form: a column of each type, and in its rows their values, one after the other; the last one has none. */
async function fill(side: Pair['blue'], form: Form): Promise<number> {
  for (const kind of kinds) if (form.prepare) await side.query(form.prepare(kind));
  const columns = kinds.map((kind) => `${quoteIdentifier(kind.name)} ${form.sql(kind)}`);
  await side.query(`create table ${form.table} (id int primary key, ${columns.join(', ')})`);
  const lists = kinds.map((kind) => valuesOf(form, kind));
  const rows = Math.max(...lists.map((list) => list.length));
  for (let row = 0; row < rows; row += 1)
    await side.query(
      `insert into ${form.table} values (${row}, ${lists.map((list) => list[row % list.length]).join(', ')})`,
    );
  await side.query(`insert into ${form.table} values (${rows}, ${kinds.map(() => 'null').join(', ')})`);
  return rows + 1;
}

/** The context in which there is only one table. */
const only = (context: CheckContext, table: string): CheckContext => {
  const of = (side: 'blue' | 'green') => ({
    ...context.catalogs[side],
    tables: context.catalogs[side].tables.filter(({ path }) => path[1] === table),
  });
  return { ...context, catalogs: { blue: of('blue'), green: of('green') } };
};

test.serial('there are values for every type that takes some in both majors', (t) => {
  t.deepEqual(kinds.map(({ name }) => name).toSorted(), Object.keys(VALUES).toSorted());
  t.true(kinds.length > 80);
});

for (const form of FORMS) {
  test.serial(`15 against 18 with every built-in type, ${form.table}`, async (t) => {
    const rows = await fill(pair.blue, form);
    t.is(await fill(pair.green, form), rows);
    const context = only(await pair.context(), form.table);
    const find = () => openCheck('checksums').run(context);
    const same = await find();
    t.deepEqual(failures(same), [], said(same));
    t.regex(
      said(same),
      new RegExp(`${rows} rows in 1 table \\(${kinds.length + 1} columns\\) have the same`),
    );
    t.false(same.some(({ severity }) => severity === 'unknown'));

    // No two values of a type have the same hash, and on both sides it is the same one.
    const [table] = context.catalogs.blue.tables;
    const columns = table!.columns.map(({ name, type, nullable }) => ({ name, as: type, nullable }));
    const whole = { by: columns.slice(0, 1), bits: 0, among: [] };
    const read = async (side: 'blue' | 'green') => {
      const found = await context[side].rowsIn(table!.path, columns, whole, { limit: 1000, values: false });
      return found.sort((a, b) => Number(a.key[0]) - Number(b.key[0])).map(({ hashes }) => hashes);
    };
    const [blue, green] = [await read('blue'), await read('green')];
    t.deepEqual(blue, green);
    for (const [index, kind] of kinds.entries())
      t.is(
        new Set(blue.map((hashes) => hashes[index + 1])).size,
        valuesOf(form, kind).length + 1,
        `${kind.name} is not told apart`,
      );

    // One value of each column becomes the next one, or none.
    for (const [index, kind] of kinds.entries()) {
      const values = [...valuesOf(form, kind), 'null'];
      const row = index % (values.length - 1);
      const set = (value: string) =>
        pair.green.query(
          `update ${form.table} set ${quoteIdentifier(kind.name)} = ${value} where id = ${row}`,
        );
      await set(values[row + 1]!);
      const [found, ...others] = failures(await find());
      const column = /^[a-z_][a-z0-9_]*$/.test(kind.name) ? kind.name : quoteIdentifier(kind.name);
      t.true(
        found?.message.startsWith(`public.${form.table} differs in ${column}: `),
        `${kind.name}: ${found?.message}`,
      );
      t.is(found?.detail, `  id=${row}: ${column} differs`);
      t.deepEqual(others, []);
      await set(values[row]!);
    }
    t.deepEqual(failures(await find()), []);
  });
}

test.serial('what is beyond ASCII in a "char" is the same on 14, which has no text for it', async (t) => {
  const old = await testServer(14);
  servers.push(old);
  const chars = await pairOf(
    { server: old, name: await old.database('chars') },
    { server: servers[1]!, name: await servers[1]!.database('chars') },
  );
  for (const side of [chars.blue, chars.green])
    await side.query(
      `create table chars (id int primary key, c "char", many "char"[]);
       insert into chars select i, i::"char", array[i::"char", null] from generate_series(-128, 127) i; insert into chars values (200)`,
    );
  const find = async () => openCheck('checksums').run(await chars.context());
  t.deepEqual(failures(await find()), []);
  await chars.green.query(
    `update chars set c = (-2)::"char" where id = -1; update chars set many = array[(-127)::"char", null] where id = -128`,
  );
  const [found] = failures(await find());
  t.regex(said([found!]), /differs in c, many: .*id=-128: many differs\n {2}id=-1: c differs/s);
  await chars.end();
});
