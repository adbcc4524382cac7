import { readFile, writeFile } from 'node:fs/promises';
import ava, { type ExecutionContext } from 'ava';
import { Client } from 'pg';
import type { Target } from '../src/core/target.ts';
import { pgbouncer as driver } from '../src/targets/pgbouncer.ts';
import { findEntry, pointed, pointingOf } from '../src/targets/pgbouncer/databases-line.ts';
import { NEEDS_PGBOUNCER, pgbouncer, type Pooler } from './helpers/pgbouncer.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { targetContract } from './helpers/target-contract.ts';
import { until } from './helpers/until.ts';

const test = ava.serial;
const real = NEEDS_PGBOUNCER === '' ? ava.serial : ava.serial.skip;

// The file

const FILE = `; the shop
[databases]
* = host=elsewhere
shop = host=10.0.0.5 port=5432 dbname=shop  pool_size=5 ; no comment to PgBouncer
"odd ""name" = dbname='it''s' host=10.0.0.5
shop2=dbname=shop2
[pgbouncer]
shop = nothing
`;

test('a line is found by its name, in its section, and nothing else is', (t) => {
  t.deepEqual(pointingOf(findEntry(FILE.replace(' ; no comment to PgBouncer', ''), 'shop'), 'shop'), {
    host: '10.0.0.5',
    port: '5432',
    dbname: 'shop',
  });
  t.deepEqual(pointingOf(findEntry(FILE, 'odd "name'), 'odd "name'), {
    host: '10.0.0.5',
    port: undefined,
    dbname: "it's",
  });
  t.throws(() => findEntry(FILE, 'other'), { message: /no line "other = …"/ });
  t.throws(() => findEntry(`${FILE}[databases]\nshop2 = dbname=x\n`, 'shop2'), { message: /2 lines/ });
  t.throws(() => findEntry(FILE, 'shop'), { message: /cannot be read/ });
});

test('a line is pointed elsewhere, and back, to the letter', (t) => {
  const file = FILE.replace(' ; no comment to PgBouncer', '');
  const there = pointed(file, 'shop', { host: '10.0.0.6', port: '5433', dbname: 'shop green' });
  t.is(
    there,
    file.replace(
      'host=10.0.0.5 port=5432 dbname=shop  pool_size=5',
      "host=10.0.0.6 port=5433 dbname='shop green'  pool_size=5",
    ),
  );
  t.is(pointed(there, 'shop', { host: '10.0.0.5', port: '5432', dbname: 'shop' }), file);
  const crlf = file.replaceAll('\n', '\r\n');
  t.is(
    pointed(crlf, 'shop2', { host: undefined, port: undefined, dbname: 'x' }),
    crlf.replace('shop2=dbname=shop2', 'shop2=dbname=x'),
  );
  t.is(pointed('shop = \n', 'shop', { host: 'h', port: undefined, dbname: 'x' }), 'shop = host=h dbname=x\n');
});

// The real thing

let server: TestServer;
test.before(async () => {
  server = await testServer();
  await server.sql(`create role app login password 'app-word'`);
});
test.after.always(() => server?.stop());

const open = (pooler: Pooler, more: { database?: string | string[]; blue?: string } = {}): Target =>
  driver.open(
    { admin: pooler.admin, database: more.database ?? 'shop', file: pooler.file },
    {
      folder: '/',
      database: undefined as never,
      names: { blue: more.blue ?? 'postgres', green: 'template1', previous: 'x' },
      renames: false,
      places: undefined,
      resolve: (text) => text,
    },
  );

const line = (name: string, database: string): string =>
  `${name} = host=127.0.0.1 port=${new URL(server.url()).port} dbname=${database} pool_size=4`;

if (NEEDS_PGBOUNCER === '') {
  targetContract(test, 'pgbouncer', async () => {
    const pooler = await pgbouncer([line('shop', 'postgres')]);
    const opened: Target[] = [];
    const again = async (): Promise<Target> => {
      opened.push(open(pooler));
      return opened.at(-1)!;
    };
    return {
      target: await again(),
      again,
      state: async () =>
        (await readFile(pooler.file, 'utf8')) +
        JSON.stringify(
          (await pooler.ask('SHOW DATABASES')).map(({ name, host, port, database, paused }) => [
            name,
            host,
            port,
            database,
            paused,
          ]),
        ),
      astray: async () => {
        await writeFile(pooler.file, `[databases]\n${line('shop', 'elsewhere')}\n`);
        await pooler.ask('RELOAD');
      },
      end: async () => {
        for (const target of opened) await target.end?.();
        await pooler.stop();
      },
    };
  });
}

async function subject(
  t: ExecutionContext,
  lines: readonly string[] = [line('shop', 'postgres')],
  settings: Record<string, string> = {},
  more: { database?: string | string[] } = {},
): Promise<{ pooler: Pooler; target: Target; client: () => Promise<Client> }> {
  const pooler = await pgbouncer(lines, settings);
  const target = open(pooler, more);
  t.teardown(async () => {
    await target.end?.();
    await pooler.stop();
  });
  return {
    pooler,
    target,
    async client() {
      const client = new Client({ connectionString: pooler.url('shop') });
      client.on('error', () => undefined);
      await client.connect();
      t.teardown(() => client.end());
      return client;
    },
  };
}

const paused = async (pooler: Pooler): Promise<string[]> =>
  (await pooler.ask('SHOW DATABASES'))
    .filter((row) => String(row['paused']) === '1')
    .map(({ name }) => name!);
const loginRetry = async (pooler: Pooler): Promise<string> =>
  (await pooler.ask('SHOW CONFIG')).find(({ key }) => key === 'server_login_retry')!['value']!;

const never = new AbortController().signal;

real(`clients wait while it is paused, go on elsewhere, and see no error${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target, client } = await subject(t);
  const one = await client();
  await one.query('select 1');
  await target.hold!.ready();
  await target.hold!.pause(never);
  t.deepEqual(await paused(pooler), ['shop']);
  const waiting = one.query<{ name: string }>('select current_database() as name');
  await target.switch('blue', 'green');
  t.true(await target.hold!.release());
  t.is((await waiting).rows[0]!.name, 'template1');
  t.false(await target.hold!.release());
  await target.end!();
  t.is(await loginRetry(pooler), '15');
});

real(
  `a transaction in flight outlasts the pause: clients go on, it too, and nothing stays paused${NEEDS_PGBOUNCER}`,
  async (t) => {
    const { pooler, target, client } = await subject(t);
    const [busy, idle] = [await client(), await client()];
    await busy.query('begin');
    await target.hold!.ready();
    await t.throwsAsync(target.hold!.pause(AbortSignal.timeout(100)));
    const waiting = idle.query('select 1');
    await target.hold!.release();
    await waiting;
    t.deepEqual(await paused(pooler), []);
    await busy.query('commit');
    await idle.query('select 1');
    t.deepEqual(await paused(pooler), []);
  },
);

real(`another process releases what one that died had paused${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target, client } = await subject(t);
  const one = await client();
  await target.hold!.pause(never);
  const waiting = one.query('select 1');
  const other = open(pooler);
  t.true(await other.hold!.release());
  await waiting;
  await other.end!();
  t.is(await loginRetry(pooler), '15');
});

real(
  `PgBouncer killed in the pause comes up on what its file says, and is released${NEEDS_PGBOUNCER}`,
  async (t) => {
    const { pooler, target, client } = await subject(t);
    await target.hold!.pause(never);
    pooler.process.kill('SIGKILL');
    await pooler.start();
    await until('the console', async () => (await target.current().catch(() => undefined)) === 'blue');
    await target.switch('blue', 'green');
    await target.hold!.release();
    const { rows } = await (await client()).query<{ name: string }>('select current_database() as name');
    t.is(rows[0]!.name, 'template1');
  },
);

real(
  `a file that PgBouncer cannot read is found out, although RELOAD says nothing${NEEDS_PGBOUNCER}`,
  async (t) => {
    const { pooler, target } = await subject(t);
    const text = await readFile(pooler.file, 'utf8');
    await writeFile(pooler.file, `[databases]\nbroken\n${line('shop', 'postgres')}\n`);
    await t.throwsAsync(target.switch('blue', 'green'), { message: /did not take over/ });
    await writeFile(pooler.file, text);
    t.is(await target.current(), 'blue');
  },
);

for (const [title, lines, settings, message] of [
  ['session pooling', [], { pool_mode: 'session' }, /pools sessions/],
  ['an alias that is not named', ['alias'], {}, /leads to the same database by alias/],
  ['no line of its own', undefined, {}, /no database shop of its own/],
] as const) {
  real(`refused beforehand: ${title}${NEEDS_PGBOUNCER}`, async (t) => {
    const own = lines === undefined ? ['* = host=127.0.0.1'] : [line('shop', 'postgres')];
    const { target } = await subject(
      t,
      [...own, ...(lines ?? []).map((name) => line(name, 'postgres'))],
      settings,
    );
    await t.throwsAsync(target.prepare('blue', 'green'), { message });
  });
}

real(`several entries are held and led together${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target } = await subject(
    t,
    [line('shop', 'postgres'), line('alias', 'postgres')],
    {},
    { database: ['shop', 'alias'] },
  );
  await target.prepare('blue', 'green');
  await target.hold!.pause(never);
  t.deepEqual((await paused(pooler)).toSorted(), ['alias', 'shop']);
  await target.switch('blue', 'green');
  await target.hold!.release();
  t.deepEqual(await paused(pooler), []);
  t.is(await target.current(), 'green');
});

real(`an entry that somebody has paused is refused${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target } = await subject(t);
  await pooler.ask('PAUSE shop');
  await t.throwsAsync(target.prepare('blue', 'green'), { message: /is paused by somebody/ });
});
