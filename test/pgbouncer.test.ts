import { readFile, writeFile } from 'node:fs/promises';
import ava, { type ExecutionContext } from 'ava';
import type { Target } from '../src/core/drivers/target.ts';
import { findEntry, pointed, pointingOf } from '../src/targets/pgbouncer/databases-line.ts';
import { NEEDS_PGBOUNCER, pgbouncer } from './helpers/pgbouncer.ts';
import { line, openTarget, pgbouncerTarget, type Subject } from './helpers/pgbouncer-target.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { targetContract } from './helpers/target-contract.ts';

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

if (NEEDS_PGBOUNCER === '') {
  targetContract(test, 'pgbouncer', async () => {
    const pooler = await pgbouncer([line(server, 'shop', 'postgres')]);
    const opened: Target[] = [];
    const again = async (): Promise<Target> => {
      opened.push(openTarget(pooler));
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
        await writeFile(pooler.file, `[databases]\n${line(server, 'shop', 'elsewhere')}\n`);
        await pooler.ask('RELOAD');
      },
      end: async () => {
        for (const target of opened) await target.end?.();
        await pooler.stop();
      },
    };
  });
}

const subject = (
  t: ExecutionContext,
  lines: readonly string[] = [line(server, 'shop', 'postgres')],
  settings: Record<string, string> = {},
): Promise<Subject> => pgbouncerTarget(t, lines, settings);

real(
  `a file that PgBouncer cannot read is found out, although RELOAD says nothing${NEEDS_PGBOUNCER}`,
  async (t) => {
    const { pooler, target } = await subject(t);
    const text = await readFile(pooler.file, 'utf8');
    await writeFile(pooler.file, `[databases]\nbroken\n${line(server, 'shop', 'postgres')}\n`);
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
    const own = lines === undefined ? ['* = host=127.0.0.1'] : [line(server, 'shop', 'postgres')];
    const { target } = await subject(
      t,
      [...own, ...(lines ?? []).map((name) => line(server, name, 'postgres'))],
      settings,
    );
    await t.throwsAsync(target.prepare('blue', 'green'), { message });
  });
}

real(`an entry that somebody has paused is refused${NEEDS_PGBOUNCER}`, async (t) => {
  const { pooler, target } = await subject(t);
  await pooler.ask('PAUSE shop');
  await t.throwsAsync(target.prepare('blue', 'green'), { message: /is paused by somebody/ });
});
