// What a role must be allowed to do, and a whole life on every major.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import type { Facts } from '../src/core/database/facts.ts';
import { StepError } from '../src/core/errors.ts';
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { lookAtFacts } from '../src/steps/preflight/conditions.ts';
import { withDatabase } from '../src/util/url.ts';
import { DEFAULT_MAJOR, majors, testServer, type TestServer } from './helpers/postgres.ts';
import {
  type Subject,
  closeAndPlan,
  connectTo,
  control,
  databaseSuite,
  end,
  newRun,
  settings,
  unique,
} from './helpers/database-suite.ts';

const { test, server, subject } = databaseSuite();

async function loginRole(on: TestServer, attributes: string): Promise<{ role: string; url: string }> {
  const role = unique('deployer');
  await on.sql(`create role ${role} login password 'pass-word' ${attributes}`);
  const url = new URL(on.url());
  url.username = role;
  url.password = 'pass-word';
  return { role, url: url.href };
}

/** As a role of its own makes it: it owns the database and what is in it. */
async function ownedSubject(
  t: ExecutionContext,
  on: TestServer,
  attributes: string,
): Promise<Subject & { role: string }> {
  const { role, url } = await loginRole(on, attributes);
  const made = await subject(t, { on, url, sql: 'select 1' });
  await on.sql(`alter database "${made.name}" owner to ${role}`);
  const client = await connectTo(on, made.name, { user: role, password: 'pass-word' });
  await client.query('create schema app; create table app.notes (id int primary key, body text)');
  await client.end();
  return { ...made, role };
}

async function wholeLife(t: ExecutionContext, on: TestServer, blue: Subject, user?: string): Promise<void> {
  const { database, name } = blue;
  await database.lock();
  const green = unique('green');
  const plan = await closeAndPlan(blue, green);
  await database.clone(plan, control);
  await database.close('green', end, control);
  const baseline = await database.baseline('green');
  await database.releaseReaders();
  await database.assertLocked();
  const previous = unique('previous');
  await database.rename([
    { side: 'blue', from: name, to: previous },
    { side: 'green', from: green, to: name },
  ]);
  await database.mark('blue', 'previous', undefined);
  await database.mark('green', undefined, undefined);
  await database.open('green');
  const client = await connectTo(on, name, user ? { user, password: 'pass-word' } : {});
  await client.query(`insert into app.notes values (1, 'new')`);
  await database.close('green', end, control);
  t.deepEqual((await database.writesSince('green', baseline)).tables, [
    { table: 'app.notes', newer: 1n, lost: 0n },
  ]);
  await t.throwsAsync(database.drop('green', 'previous'));
  t.true(await database.drop('blue', 'previous'));
}

test('a role that owns blue, may create databases and end sessions is all it takes', async (t) => {
  for (const major of majors()) {
    const on = major === DEFAULT_MAJOR ? server() : await testServer(major, settings);
    if (on !== server()) t.teardown(() => on.stop());
    const blue = await ownedSubject(t, on, 'nosuperuser createdb in role pg_signal_backend');
    const failures = lookAtFacts(await blue.database.inspect(), inputFor(blue.name)).filter(
      ({ severity }) => severity === 'failure',
    );
    t.deepEqual(failures, [], `${major}`);
    await on.sql(
      `create role ${blue.role}_app login password 'pass-word'; grant ${blue.role} to ${blue.role}_app`,
    );
    const app = await connectTo(on, blue.name, { user: `${blue.role}_app`, password: 'pass-word' });
    await app.query('select 1');
    await wholeLife(t, on, blue, blue.role);
    await t.throwsAsync(app.query('select 1'));
  }
});

const inputFor = (name: string) => ({
  names: { blue: name, green: `${name}_green`, previous: `${name}_previous` },
  bake: [],
  renames: true,
  live: undefined,
  longTransactions: end,
});

test('an unprivileged role gives the transactions of other roles their time, although it may not look into them', async (t) => {
  const blue = await ownedSubject(t, server(), 'nosuperuser createdb in role pg_signal_backend');
  const { role, url } = await loginRole(server(), '');
  t.truthy(url);
  await server().sql(`grant ${blue.role} to ${role}`);
  const app = await connectTo(server(), blue.name, { user: role, password: 'pass-word' });
  await app.query('begin');
  await app.query(`insert into app.notes values (1, 'kept')`);
  const refused = await t.throwsAsync(blue.database.close('blue', { wait: 100, then: 'refuse' }, control), {
    instanceOf: StepError,
  });
  t.true(refused.detail!.includes(role), refused.detail);
  const closing = blue.database.close('blue', { wait: 10_000, then: 'refuse' }, control);
  await sleep(300);
  await app.query('commit');
  await closing;
  t.is(await (await blue.database.reader('blue')).countRows(['app', 'notes']), 1n);
});

test('sessions of superusers that the role may not end are named, and opening puts things back', async (t) => {
  const blue = await ownedSubject(t, server(), 'nosuperuser createdb in role pg_signal_backend');
  const root = await server().connect(blue.name);
  await root.query('select 1');
  const error = await t.throwsAsync(blue.database.close('blue', end, control), { instanceOf: StepError });
  t.true(error.message.includes('user=postgres'), error.message);
  t.true(error.hint!.includes('superuser'));
  await blue.database.open('blue');
  await root.query('select 1');
});

test('a role that lacks a right is told which, and the command that gives it', async (t) => {
  const name = await server().database();
  const inspect = async (attributes: string): Promise<[Facts, string]> => {
    const { role, url } = await loginRole(server(), attributes);
    const database = new Postgres({ url: withDatabase(url, name), run: newRun() });
    t.teardown(() => database.end());
    await database.bindByName('blue', name);
    return [await database.inspect(), role];
  };
  const [none, role] = await inspect('');
  const hints = lookAtFacts(none, inputFor(name))
    .filter(({ severity }) => severity === 'failure')
    .map(({ hint }) => hint!);
  t.deepEqual(hints, [
    `ALTER ROLE "${role}" CREATEDB`,
    `GRANT "postgres" TO "${role}"`,
    `GRANT pg_signal_backend TO "${role}"`,
  ]);
  const [creator] = await inspect('createdb');
  t.false(lookAtFacts(creator, inputFor(name)).some(({ hint }) => hint?.includes('CREATEDB')));
  const [signaller] = await inspect('in role pg_signal_backend');
  t.false(lookAtFacts(signaller, inputFor(name)).some(({ hint }) => hint?.includes('pg_signal_backend')));
});

for (const major of majors()) {
  test(`close, clone, rename and writes work on ${major}`, async (t) => {
    const on = major === DEFAULT_MAJOR ? server() : await testServer(major, settings);
    if (on !== server()) t.teardown(() => on.stop());
    const blue = await subject(t, {
      on,
      sql: 'create schema app; create table app.notes (id int primary key, body text)',
    });
    await wholeLife(t, on, blue);
  });
}
