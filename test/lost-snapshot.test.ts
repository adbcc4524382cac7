import test from 'ava';
import type { Checksum } from '../src/core/database/catalog.ts';
import { MovedError } from '../src/core/errors.ts';
import { addressOf } from '../src/databases/postgres/address.ts';
import { Connection } from '../src/databases/postgres/connection.ts';
import { Snapshot } from '../src/databases/postgres/reading/snapshot.ts';
import { workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

let server: TestServer;
// What the server does by itself takes transaction ids, too.
test.before(async () => void (server = await testServer(18, { autovacuum: 'off' })));
test.after.always(() => server?.stop());

const TABLE = ['public', 'items'];
const ROWS = 2000;
const column = (expression: string) => [{ name: 'body', as: 'text', nullable: false, expression }];

async function made(): Promise<string> {
  const name = await server.database('held');
  await server.sql(
    `create table items (id int, body text); insert into items select i, 'row ' || i from generate_series(1, ${ROWS}) i;
     create table others (id int); analyze`,
    name,
  );
  return name;
}

const sessions = (state: string) =>
  server.sql<{ pid: number }>(
    `select pid from pg_stat_activity where application_name = 'cutover test' and state ~ '${state}'`,
  );

/** The session that holds the snapshot is gone. */
async function cut(): Promise<void> {
  let idle: { pid: number }[] = [];
  // Who reads is idle, too, between two of its statements.
  await until('the holder alone', async () => (idle = await sessions('idle in transaction')).length === 1);
  const [holder] = idle;
  await server.sql(`select pg_terminate_backend(${holder!.pid})`);
  await until('its end', async () =>
    (await sessions('idle in transaction')).every(({ pid }) => pid !== holder!.pid),
  );
}

interface Reading {
  readonly sum: Promise<Checksum>;
  /** Rows of each part, as they are heard. */
  readonly parts: bigint[];
}

/** Reads a table in many parts, of which each takes a while; `between` is done once, in the middle. */
async function reading(
  name: string,
  between: () => Promise<void>,
  look: (reading: Reading) => Promise<void>,
): Promise<void> {
  const address = addressOf(server.url(name), 'cutover test');
  const snapshot = await Snapshot.open(() => Connection.open(address, name), 1);
  try {
    await snapshot.take();
    const reader = snapshot.reader(8192);
    await reader.catalog();
    await reader.setPace({
      most: 10_000,
      signal: new AbortController().signal,
      waiting: () => undefined,
      goesOn: () => undefined,
    });
    const parts: bigint[] = [];
    const middle: Promise<void>[] = [];
    const sum = reader.checksum(TABLE, column('body || pg_sleep(0.003)::text'), {
      progress: (rows) => {
        parts.push(rows);
        if (parts.length === 3) middle.push(between());
      },
    });
    await look({ sum, parts });
    await Promise.all(middle);
  } finally {
    await snapshot.end();
  }
}

const total = (parts: readonly bigint[]): bigint => parts.reduce((sum, rows) => sum + rows, 0n);

test.serial('when nothing was written, what was read stays read: no part is read twice', async (t) => {
  const name = await made();
  let whole: Checksum | undefined;
  let count = 0;
  await reading(
    name,
    () => Promise.resolve(),
    async ({ sum, parts }) => {
      whole = await sum;
      count = parts.length;
    },
  );
  t.is(whole!.rows, BigInt(ROWS));
  t.true(count > 6, String(count));
  let cuts = 0;
  await reading(
    name,
    async () => {
      await cut();
      cuts += 1;
    },
    async ({ sum, parts }) => {
      t.deepEqual(await sum, whole);
      t.is(parts.length, count);
      t.is(total(parts), BigInt(ROWS));
    },
  );
  t.is(cuts, 1);
  // One of those who read is another matter: the holder is still there, and what is written meanwhile is not seen.
  await reading(
    name,
    async () => {
      const [reader] = await sessions('active');
      await server.sql(`insert into items select 0, 'later' from generate_series(1, 5)`, name);
      await server.sql(`select pg_terminate_backend(${reader!.pid})`);
    },
    async ({ sum, parts }) => {
      t.deepEqual(await sum, whole);
      t.is(parts.length, count);
    },
  );
});

for (const [what, write] of [
  ['a row of the table', `insert into items values (0, 'later')`],
  ['a row of another table', 'insert into others values (1)'],
  ['a table', 'create table more ()'],
] as const)
  test.serial(`when somebody wrote ${what}, nothing that was read counts`, async (t) => {
    const name = await made();
    await reading(
      name,
      async () => {
        // Before the next snapshot is taken, however long that takes here.
        await server.sql(write, name);
        await cut();
      },
      async ({ sum, parts }) => {
        await t.throwsAsync(sum, {
          instanceOf: MovedError,
          message: /cannot be shown that nothing was written/,
        });
        t.true(parts.length < 8 && total(parts) < BigInt(ROWS), String(parts));
      },
    );
  });

test.serial('one who was writing at that moment, and has ended since, counts as well', async (t) => {
  const name = await made();
  const writer = await server.connect(name);
  await writer.query(`begin; insert into items values (0, 'later')`);
  await reading(
    name,
    async () => {
      await writer.query('commit');
      await cut();
    },
    async ({ sum }) => void (await t.throwsAsync(sum, { instanceOf: MovedError })),
  );
  await writer.query(`begin; insert into items values (0, 'later')`);
  // One who is still at it does not.
  await reading(
    name,
    () => cut(),
    async ({ sum }) => void t.is((await sum).rows, BigInt(ROWS + 1)),
  );
  await writer.end();
});

/** One process of the server dies: it throws out everybody, recovers, and is the same one by the time of its start. */
async function crashed(): Promise<void> {
  const victim = await server.connect();
  const { rows } = await victim.query<{ pid: number }>('select pg_backend_pid() as pid');
  process.kill(rows[0]!.pid, 'SIGKILL');
  await until('its end', () =>
    victim.query('select').then(
      () => false,
      () => true,
    ),
  );
}

for (const [what, goDown] of [
  ['went down', () => server.crash(300)],
  ['has recovered', crashed],
] as const)
  test.serial(`a server that ${what} is another one, even if nobody wrote`, async (t) => {
    const name = await made();
    await reading(
      name,
      goDown,
      async ({ sum }) => void (await t.throwsAsync(sum, { instanceOf: MovedError })),
    );
  });

test.serial('compare reads everything anew when something was written, and only then', async (t) => {
  const work = await workplace(t);
  const [blue, green] = [await made(), await made()];
  const env = { BLUE: server.url(blue), GREEN: server.url(green) };
  const held = async (): Promise<number[]> =>
    (
      await server.sql<{ pid: number }>(
        `select pid from pg_stat_activity where application_name = 'cutover compare' and state = 'idle in transaction' and datname = '${blue}'`,
      )
    ).map(({ pid }) => pid);
  for (const written of [false, true]) {
    const other = await server.connect();
    const busy = other.query('select pg_sleep(600)').catch(() => undefined);
    const { done } = work.start(['compare', '${BLUE}', '${GREEN}', '--max-active', '0'], env);
    await until('the snapshot', async () => (await held()).length === 1);
    await until('the wait', async () => {
      const looks = await server.sql(
        `select from pg_stat_activity where application_name = 'cutover compare' and query ~ 'untold' and state = 'idle'`,
      );
      return looks.length >= 2;
    });
    const [pid] = await held();
    await server.sql(`select pg_terminate_backend(${pid})`);
    if (written) await server.sql(`insert into items values (${ROWS + 1}, 'later')`, blue);
    await server.sql(`select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'`);
    await busy;
    const { code, out, err } = await done;
    t.is(code, written ? 5 : 0, out + err);
    if (written) {
      t.regex(out, /public\.items differs: 2,001 rows on blue, 2,000 rows on green/);
      t.regex(out, /read anew 1 time: a connection was lost/);
    } else {
      t.regex(out, /2,000 rows in 2 tables .* have the same checksums/);
      t.notRegex(out + err, /anew/);
    }
    await other.end();
  }
});
