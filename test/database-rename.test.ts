// Both databases change names at once, or none does.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { Client, type QueryResultRow } from 'pg';
import { StepError } from '../src/core/errors.ts';
import type { Side } from '../src/core/side.ts';
import { embeddedBinaries } from '../src/databases/postgres/embedded/binaries.ts';
import { startCluster } from '../src/databases/postgres/embedded/cluster.ts';
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { DEFAULT_MAJOR, testServer } from './helpers/postgres.ts';
import {
  closeAndPlan,
  connectTo,
  control,
  databaseSuite,
  end,
  newRun,
  unique,
} from './helpers/database-suite.ts';

const { test, server, subject } = databaseSuite();

async function renamable(t: ExecutionContext, on = server()) {
  const blue = await subject(t, { on });
  const green = unique('green');
  await blue.database.clone(await closeAndPlan(blue, green), control);
  await blue.database.close('green', end, control);
  await blue.database.releaseReaders();
  const previous = unique('previous');
  const moves: { side: Side; from: string; to: string }[] = [
    { side: 'blue', from: blue.name, to: previous },
    { side: 'green', from: green, to: blue.name },
  ];
  return { ...blue, green, previous, moves };
}

test('a rename ends the sessions that linger, and moves both databases', async (t) => {
  const { database, name, previous, moves } = await renamable(t);
  await database.open('blue');
  const [one, two] = [await server().connect(name), await server().connect(name)];
  await one.query('begin; select 1');
  await two.query('select 1');
  await server().sql(`alter database "${name}" allow_connections false`);
  const started = Date.now();
  await database.rename(moves);
  t.true(Date.now() - started < 3000, `it took ${Date.now() - started} ms`);
  t.is((await database.state('green'))!.name, name);
  t.is((await database.state('blue'))!.name, previous);
});

test('a rename whose name is taken, or whose database has another name by now, moves nothing', async (t) => {
  const { database, name, green, previous, moves } = await renamable(t);
  await server().sql(`create database "${previous}"`);
  const taken = await t.throwsAsync(database.rename(moves), { instanceOf: StepError });
  t.true(taken.message.includes(previous));
  await server().sql(`drop database "${previous}"`);
  const elsewhere = await t.throwsAsync(
    database.rename([moves[0]!, { side: 'green', from: 'another', to: name }]),
    { instanceOf: StepError },
  );
  t.true(elsewhere.message.includes(green));
  t.is((await database.state('blue'))!.name, name);
  t.is((await database.state('green'))!.name, green);
  await database.rename(moves);
});

test('a client that reconnects without pause does not keep two closed databases from being renamed', async (t) => {
  const { database, name, previous, moves } = await renamable(t);
  const stop = new AbortController();
  const client = (async () => {
    while (!stop.signal.aborted) {
      const one = await connectTo(server(), name).catch(() => undefined);
      await one?.end();
    }
  })();
  for (let round = 0; round < 5; round += 1) {
    await database.rename(moves);
    t.is((await database.state('green'))!.name, name);
    await database.rename(moves.toReversed().map(({ side, from, to }) => ({ side, from: to, to: from })));
    t.is((await database.state('blue'))!.name, name);
  }
  stop.abort();
  await client;
  await database.rename(moves);
  t.is((await database.state('blue'))!.name, previous);
});

test('a server that is killed in the middle of renames never has half of one', async (t) => {
  const on = await testServer(DEFAULT_MAJOR, { fsync: 'on' });
  t.teardown(() => on.stop());
  const { database, name, green, previous, moves } = await renamable(t, on);
  await database.end();
  const back = moves.toReversed().map(({ side, from, to }) => ({ side, from: to, to: from }));
  let cluster = on.cluster;
  let renames = 0;
  for (let round = 0; round < 5; round += 1) {
    const run = newRun();
    const live = new Postgres({ url: cluster.url('postgres'), run, patience: 0 });
    for (const [side, one, two] of [
      ['blue', name, previous],
      ['green', green, name],
    ] as const) {
      const [found] = await sqlOn(
        cluster.url('postgres'),
        `select datname from pg_database where datname in ('${one}', '${two}')`,
      );
      await live.bindByName(side, found!['datname']!).catch(() => undefined);
    }
    // Both sides by the row they are: blue under its first name means not moved.
    const [{ moved } = { moved: false }] = await sqlOn<{ moved: boolean }>(
      cluster.url('postgres'),
      `select exists (select from pg_database where datname = '${previous}') as moved`,
    );
    const oids = await sqlOn<{ oid: number; datname: string }>(
      cluster.url('postgres'),
      `select oid::int8::float8 as oid, datname from pg_database where datname in ('${name}', '${green}', '${previous}')`,
    );
    t.is(oids.length, 2);
    const oidOf = (datname: string): number => oids.find((row) => row.datname === datname)!.oid;
    live.bind('blue', oidOf(moved ? previous : name));
    live.bind('green', oidOf(moved ? name : green));
    let next = moved ? back : moves;
    // However slow the machine is, each round has renamed a few times before the server dies at some instant.
    const enough = renames + 3;
    const killed = (async () => {
      const deadline = Date.now() + 20_000;
      const tooFew = (): boolean => renames < enough && Date.now() < deadline;
      while (tooFew()) await sleep(1);
      await sleep(20 + 37 * round);
      process.kill(cluster.pid, 'SIGKILL');
    })();
    await t.throwsAsync(
      (async () => {
        for (;;) {
          await live.rename(next);
          renames += 1;
          next = next === moves ? back : moves;
        }
      })(),
    );
    await killed;
    await live.end();
    cluster = await startCluster({ binaries: await embeddedBinaries(), home: cluster.folder });
    const after = await sqlOn<{ datname: string }>(
      cluster.url('postgres'),
      `select datname from pg_database where datname in ('${name}', '${green}', '${previous}') order by 1`,
    );
    const names = after.map(({ datname }) => datname).join();
    t.true(
      [
        [name, green],
        [name, previous],
      ].some((pair) => pair.toSorted().join() === names),
      names,
    );
  }
  t.true(renames > 10, `${renames} renames`);
  await cluster.stop();
});

async function sqlOn<R extends QueryResultRow = Record<string, string>>(
  url: string,
  sql: string,
): Promise<R[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}
