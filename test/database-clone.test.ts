// A clone and what it has of blue, and that nothing without our mark is ever dropped.
import { randomBytes } from 'node:crypto';
import { StepError } from '../src/core/errors.ts';
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { lookAtFacts } from '../src/steps/preflight/conditions.ts';
import { quoteIdentifier } from '../src/util/sql.ts';
import { closeAndPlan, control, databaseSuite, end, unique } from './helpers/database-suite.ts';

const { test, server, subject, outside } = databaseSuite();

/** Roles are the server's: each test has its own. */
async function roles(...names: string[]): Promise<string[]> {
  const made = names.map((name) => unique(name));
  for (const name of made) await server().sql(`create role ${quoteIdentifier(name)}`);
  return made;
}

// A list that came unquoted is stored quoted afterwards; what the server makes of it is the same.
const normal = (entry: Record<string, unknown>) => ({
  ...entry,
  datallowconn: true,
  settings: (entry['settings'] as string[]).map((line) => line.replace('Foo, "Bar",baz', 'foo, "Bar", baz')),
});

test('a clone has all that blue has outside: owner, privileges with their grantors, limit, settings', async (t) => {
  const blue = await subject(t);
  const { name, database, run } = blue;
  const [owner, z, y, x, q] = await roles('own "er"', 'zz', 'yy', 'xx', "q'q");
  const as = quoteIdentifier;
  await server().sql(`alter database "${name}" owner to ${as(owner!)}`);
  await server().sql(`revoke all on database "${name}" from public`);
  // A chain of grants in the reverse of alphabetical order: each rests on the one before.
  await server().sql(`grant connect on database "${name}" to ${as(z!)} with grant option`);
  await server().sql(
    `set role ${as(z!)}; grant connect on database "${name}" to ${as(y!)} with grant option`,
  );
  await server().sql(
    `set role ${as(y!)}; grant connect on database "${name}" to ${as(x!)} with grant option`,
  );
  await server().sql(`set role ${as(x!)}; grant connect on database "${name}" to ${as(q!)}, public`);
  await server().sql(`grant create, temporary on database "${name}" to ${as(q!)}`);
  await server().sql(`alter database "${name}" connection limit 7`);
  await server().sql(
    `alter database "${name}" set search_path = "$user", "Odd, ""Schema", public, 'it''s', "back\\slash"`,
  );
  await server().sql(`alter database "${name}" set my.setting = 'a=b, "c" ''d'' \\e'`);
  await server().sql(`alter database "${name}" set datestyle = 'German, DMY'`);
  await server().sql(`alter role ${as(q!)} in database "${name}" set search_path = ''`);
  await server().sql(`alter role ${as(x!)} in database "${name}" set work_mem = '5MB'`);
  await server().sql(
    `set search_path to Foo, "Bar"; select set_config('search_path', 'Foo, "Bar",baz', false);
     alter role ${as(y!)} in database "${name}" set search_path from current`,
  );
  const expected = await outside(name);
  t.true((expected['settings'] as string[]).length === 6, 'the settings are there');

  const green = unique('green');
  const plan = await closeAndPlan(blue, green);
  const { oid } = await database.clone(plan, control);
  const copy = await outside(green);
  t.deepEqual(normal(copy), normal(expected));
  const state = await database.state('green');
  t.deepEqual(state, {
    name: green,
    oid,
    closed: false,
    mark: { run, as: 'copy' },
    version: state!.version,
  });
  t.true(await database.drop('green', 'copy'));
});

test('a clone of a database without privileges of its own has none either; one without any has none', async (t) => {
  for (const sql of ['', 'revoke all on database $ from public; revoke all on database $ from postgres']) {
    const blue = await subject(t);
    if (sql) await server().sql(sql.replaceAll('$', `"${blue.name}"`));
    const green = unique('green');
    await blue.database.clone(await closeAndPlan(blue, green), control);
    const [one, two] = [await outside(blue.name), await outside(green)];
    t.deepEqual({ ...two, datallowconn: false }, one);
  }
});

for (const odd of ['Odd "Shop" ñ', `a&b/c?d#e+f@g%20:h;i$j,k=`, 'ünïcode-'.padEnd(60, 'x'), "quo'te\\back"]) {
  test(`a database called ${odd} goes all the way`, async (t) => {
    const name = `${odd.slice(0, 50)}${randomBytes(2).toString('hex')}`;
    const blue = await subject(t, { name });
    const { database } = blue;
    const green = `${name.slice(0, 40)}_g`;
    await database.clone(await closeAndPlan(blue, green), control);
    await database.close('green', end, control);
    await database.releaseReaders();
    await database.rename([
      { side: 'blue', from: name, to: `${green}p` },
      { side: 'green', from: green, to: name },
    ]);
    await t.throwsAsync(database.open('green'), { message: /carries the mark of run/ });
    await database.mark('green', undefined, undefined);
    await database.open('green');
    t.is((await database.state('green'))!.name, name);
    t.is((await database.state('blue'))!.name, `${green}p`);
    const target = await database.migrationTarget('green');
    const session = await target.session();
    t.deepEqual(await session.query('select current_database() as name'), [{ name }]);
    await session.end();
    const reader = await database.reader('green');
    t.is(await reader.countRows(['public', 'notes']), 0n);
  });
}

test('names of 63 bytes fit, and longer ones are found before anything moves', async (t) => {
  const name = unique('n'.repeat(54));
  t.is(name.length, 63);
  const blue = await subject(t, { name });
  const facts = await blue.database.inspect();
  const found = lookAtFacts(facts, {
    names: { blue: name, green: `${name}_green`, previous: `${name}_previous` },
    bake: [],
    renames: true,
    live: undefined,
    longTransactions: end,
  });
  t.deepEqual(
    found.filter(({ check }) => check === 'names').map(({ message }) => /has \d+ bytes/.exec(message)?.[0]),
    ['has 69 bytes', 'has 72 bytes'],
  );
  const green = `g${name.slice(1)}`;
  await blue.database.clone(await closeAndPlan(blue, green), control);
  t.is((await blue.database.state('green'))!.name, green);
});

test('a clone that fails in the middle leaves nothing after its undo, and does not touch who has the name', async (t) => {
  const blue = await subject(t);
  const { database, run } = blue;
  const green = unique('green');
  const plan = await closeAndPlan(blue, green);
  await server().sql(`create database "${green}"`);
  const error = await t.throwsAsync(database.clone(plan, control), { instanceOf: StepError });
  t.true(error.message.includes(green));
  t.true(await database.has(plan.interim), 'the unfinished copy is there');
  const [writable] = await (await database.reader('blue')).query('show default_transaction_read_only');
  t.deepEqual(writable, { default_transaction_read_only: 'on' }, 'the reader is read-only again');
  const again = new Postgres({ url: server().url(blue.name), run });
  await again.bindByName('blue', blue.name);
  t.true(await again.drop('green', 'copy'), 'another process finds it by its name');
  t.false(await again.drop('green', 'copy'));
  await again.end();
  t.false(await database.has(plan.interim));
  t.true(await database.has(green));

  const carry = ['select 1/0'];
  const other = unique('green');
  await t.throwsAsync(database.clone({ ...plan, name: other, carry }, control));
  t.true(await database.has(other));
  t.true(await database.drop('green', 'copy'), 'found by its mark');
  t.false(await database.has(other));
});

test('an abort in the middle of a clone is heard and leaves nothing after its undo', async (t) => {
  const blue = await subject(t, {
    sql: `create table big as select g, repeat(md5(g::text), 30) as t from generate_series(1, 60000) g`,
  });
  const plan = await closeAndPlan(blue, unique('green'));
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error('enough')), 30);
  await t.throwsAsync(blue.database.clone(plan, { ...control, signal: abort.signal }), { message: 'enough' });
  await blue.database.drop('green', 'copy');
  t.deepEqual(
    await server().sql(`select 1 from pg_database where datname in ('${plan.name}', '${plan.interim}')`),
    [],
  );
  t.is(await (await blue.database.reader('blue')).countRows(['public', 'big']), 60_000n);
});

test("nothing without this run's mark is ever dropped", async (t) => {
  const { database, run, name } = await subject(t);
  await t.throwsAsync(database.drop('blue', 'copy'), { instanceOf: StepError, message: /does not carry/ });
  await t.throwsAsync(database.drop('blue', 'previous'), { instanceOf: StepError });
  const strange = await server().database();
  await database.bindByName('green', strange);
  for (const comment of [
    'NULL',
    `'cutover run=20260101-000000-beef as=copy (the copy made by this run; not live)'`,
    `'cutover run=${run}x as=copy (x)'`,
    `'cutover run=${run} as=previous (x)'`,
    `'see cutover run=${run} as=copy (x)'`,
  ]) {
    await server().sql(`comment on database "${strange}" is ${comment}`);
    const error = await t.throwsAsync(database.drop('green', 'copy'), { instanceOf: StepError }, comment);
    t.true(error.message.includes(strange));
  }
  t.true(await database.has(strange));
  t.true(await database.has(name));
  await database.mark('green', 'copy', undefined);
  const lingering = await server().connect(strange);
  t.true(await database.drop('green', 'copy'), 'with the mark it goes, whoever is connected');
  t.false(await database.drop('green', 'copy'));
  await t.throwsAsync(lingering.query('select 1'));
});

test('taking the mark away brings the comment back to the letter', async (t) => {
  const { database, name } = await subject(t);
  const comment = `it's "ours" \\ \n second line`;
  await database.mark('blue', 'previous', comment);
  t.is((await database.state('blue'))!.mark!.as, 'previous');
  await database.mark('blue', undefined, comment);
  const [row] = await server().sql(
    `select shobj_description(oid, 'pg_database') as comment from pg_database where datname = '${name}'`,
  );
  t.is(row!['comment'], comment);
});
