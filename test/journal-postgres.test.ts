import { createServer, connect, type Server, type Socket } from 'node:net';
import test from 'ava';
import { RefusedError } from '../src/core/errors.ts';
import type { JournalStore } from '../src/journal/journal.ts';
import { PostgresJournalStore } from '../src/journal/postgres/store.ts';
import { workplace } from './helpers/cli.ts';
import { event, journalContract } from './helpers/journal-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

let server: TestServer;
const stores: JournalStore[] = [];
test.before(async () => {
  server = await testServer();
});
test.after.always(async () => {
  for (const store of stores) await store.end();
  await server.stop();
});

const kept = <T extends JournalStore>(store: T): T => {
  stores.push(store);
  return store;
};

journalContract({
  name: 'PostgreSQL',
  async open() {
    const place = server.url(await server.database('journals'));
    return {
      store: kept(new PostgresJournalStore(place)),
      other: kept(new PostgresJournalStore(place)),
      place,
    };
  },
  async intrude(place, run, seq) {
    const body = JSON.stringify({ seq, at: '', ...event('theirs') });
    await server.sql(
      `insert into cutover.events (run, seq, body) values ('${run}', ${seq}, '${body}')`,
      new URL(place).pathname.slice(1),
    );
  },
  async fill(place) {
    const database = new URL(place).pathname.slice(1);
    await server.sql(
      `create function full_disk() returns trigger language plpgsql as
         $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$;
       create trigger full_disk before insert on cutover.events execute function full_disk()`,
      database,
    );
    return async () => {
      await server.sql('drop trigger full_disk on cutover.events', database);
    };
  },
});

/** Stands between the tool and the server, and cuts the connection when an event passes. */
async function cutter(
  when: 'before' | 'after',
): Promise<{ url: (database: string) => string; end: Server; cuts(): number }> {
  let cuts = 0;
  const listener = createServer((client: Socket) => {
    const upstream = connect(server.cluster.port, '127.0.0.1');
    const cut = (): void => {
      cuts += 1;
      client.destroy();
      upstream.destroy();
    };
    let armed = false;
    client.on('data', (data) => {
      // Prepared with its text, and executed in the same packet.
      if (cuts === 0 && data.includes('insert into cutover.events')) {
        if (when === 'before') return cut();
        armed = true;
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      // The server has executed it: its answer is what gets lost.
      if (armed && data.includes('INSERT 0 1')) return cut();
      client.write(data);
    });
    for (const [one, two] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', () => two.destroy());
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as { port: number };
  return {
    url: (database) => server.url(database).replace(`:${server.cluster.port}/`, `:${port}/`),
    end: listener,
    cuts: () => cuts,
  };
}

for (const when of ['before', 'after'] as const) {
  test(`PostgreSQL: the connection is lost ${when} an event is written: it is there once`, async (t) => {
    const database = await server.database('journals');
    const proxy = await cutter(when);
    const store = kept(new PostgresJournalStore(proxy.url(database)));
    const journal = await store.create('run-1');
    t.is((await journal.append(event('cut'))).seq, 1);
    t.is(proxy.cuts(), 1);
    t.is((await journal.append(event('next'))).seq, 2);
    t.deepEqual(
      (await kept(new PostgresJournalStore(server.url(database))).read('run-1')).map(({ seq }) => seq),
      [1, 2],
    );
    // And it is still held.
    await t.throwsAsync(() => kept(new PostgresJournalStore(server.url(database))).open('run-1'), {
      instanceOf: RefusedError,
    });
    await journal.close();
    await store.end();
    proxy.end.close();
  });
}

test('PostgreSQL: sessions that the server ends are opened again', async (t) => {
  const database = await server.database('journals');
  const store = kept(new PostgresJournalStore(server.url(database)));
  const journal = await store.create('run-1');
  for (let seq = 1; seq <= 3; seq += 1) {
    t.is((await journal.append(event(`s${seq}`))).seq, seq);
    await server.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database}' and pid <> pg_backend_pid()`,
    );
  }
  t.is((await journal.read()).length, 3);
  await journal.close();
});

test('PostgreSQL: a role without rights is told the grant; a newer schema is left alone', async (t) => {
  const database = await server.database('journals');
  await server.sql(`create role poor login password 'poor-contract'`);
  const url = server.url(database).replace(/\/\/postgres:[^@]*@/, '//poor:poor-contract@');
  await t.throwsAsync(() => kept(new PostgresJournalStore(url)).create('run-1'), {
    instanceOf: RefusedError,
    message: /permission denied/,
  });
  const store = kept(new PostgresJournalStore(server.url(database)));
  await (await store.create('run-1')).close();
  await server.sql('update cutover.version set version = 99', database);
  await t.throwsAsync(() => store.create('run-2'), { instanceOf: RefusedError, message: /newer version/ });
  await t.throwsAsync(() => store.list(), { instanceOf: RefusedError, message: /newer version/ });
});

test('PostgreSQL: a schema of the version before is read as it is, and brought forward by who writes', async (t) => {
  const database = await server.database('journals');
  const store = kept(new PostgresJournalStore(server.url(database)));
  await (await store.create('run-1')).close();
  await server.sql('drop table cutover.approvals; update cutover.version set version = 1', database);
  t.deepEqual(await store.list(), ['run-1']);
  t.is(await store.approval('shop'), undefined);
  t.false(await store.disapprove('shop'));
  const version = async (): Promise<unknown> => server.sql('select version from cutover.version', database);
  t.deepEqual(await version(), [{ version: 1 }]);
  await (await store.create('run-2')).close();
  t.deepEqual(await version(), [{ version: 2 }]);
  t.is(await store.approval('shop'), undefined);
  t.deepEqual(await store.list(), ['run-1', 'run-2']);
});

test('a state database that cannot be reached is a refusal, and its password is not told', async (t) => {
  const work = await workplace(t);
  const shop = await server.database('shop');
  await work.file(
    'playbook.yml',
    'version: 1\nname: shop\nblue: ${DATABASE_URL}\ngate: open\nswitch: { targets: [database-rename] }\n',
  );
  const url = server.url('nowhere').replace(/\/\/[^@]*@/, '//postgres:sesame-state@');
  for (const [args, place] of [
    [['run', 'playbook.yml'], url],
    [['status'], url],
    [['runs'], url],
  ] as const) {
    const { code, err } = await work.cutover([...args, '--state', place], { DATABASE_URL: server.url(shop) });
    t.is(code, args[0] === 'run' ? 3 : code, err);
    t.not(code, 0);
    t.not(code, 4);
    t.regex(err, /the (journals|runs) cannot be (reached|read)/);
    t.false(err.includes('sesame-state'));
  }
  const wrong = await work.cutover(['runs', '--state', 'mysql://host/database']);
  t.is(wrong.code, 2, wrong.err);
});

test('a run whose journal is in PostgreSQL is seen, and gone back from, on another machine', async (t) => {
  const [here, there] = [await workplace(t), await workplace(t)];
  const [shop, journals] = [await server.database('shop'), await server.database('journals')];
  await server.sql('create table shops (id int primary key); insert into shops values (1)', shop);
  await here.file(
    'playbook.yml',
    'version: 1\nname: shop\nblue: ${DATABASE_URL}\ngate: open\nswitch: { targets: [database-rename] }\n',
  );
  const env = { DATABASE_URL: server.url(shop), STATE_URL: server.url(journals) };
  const state = ['--state', '${STATE_URL}'];
  const ran = await here.cutover(['run', 'playbook.yml', ...state], env);
  t.is(ran.code, 0, ran.err);
  t.regex(ran.err, /cutover --state '\$\{STATE_URL\}' swap-back/);
  const status = await there.cutover(['status', ...state], env);
  t.regex(status.out, /completed[^]*live: green/);
  const back = await there.cutover(['swap-back', '--yes', ...state], env);
  t.is(back.code, 0, back.err);
  t.regex((await here.cutover(['runs', ...state], env)).out, /swapped back/);
  const inBlue = await here.cutover(['run', 'playbook.yml', '--state', server.url(shop)], env);
  t.is(inBlue.code, 3, inBlue.err);
  t.regex(inBlue.err, /is in shop_\w+, which this run closes/);
  t.false(inBlue.err.includes(new URL(server.url(shop)).password), 'the password is not repeated');
});

test('a run whose journal is in PostgreSQL is steered from another machine', async (t) => {
  const [here, there] = [await workplace(t), await workplace(t)];
  const [name, journals] = [await server.database('shop'), await server.database('journals')];
  await server.sql('create table shops (id int primary key)', name);
  await here.file(
    'playbook.yml',
    'version: 1\nname: shop\nblue: ${DATABASE_URL}\ngate: { timeout: 60s }\nswitch: { targets: [database-rename] }\n',
  );
  const env = { DATABASE_URL: server.url(name), STATE_URL: server.url(journals) };
  const state = ['--state', '${STATE_URL}'];
  const store = kept(new PostgresJournalStore(server.url(journals)));
  const atGate = async (): Promise<boolean> => {
    const run = (await store.list()).at(-1);
    return run !== undefined && (await store.read(run)).at(-1)?.type === 'gate-opened';
  };
  const first = here.start(['run', 'playbook.yml', ...state], env);
  await until('the gate', atGate);
  t.regex(
    (await there.cutover(['status', ...state], env)).out,
    new RegExp(`at work: pid ${first.child.pid} on `),
  );
  const aborted = await there.cutover(['abort', ...state], env);
  t.is(aborted.code, 0, aborted.err);
  t.is((await first.done).code, 4);
  const second = here.start(['run', 'playbook.yml', ...state], env);
  await until('the next gate', atGate);
  const approved = await there.cutover(['approve', ...state], env);
  t.is(approved.code, 0, approved.err);
  t.is((await second.done).code, 0);
  const back = await there.cutover(['swap-back', '--yes', ...state], env);
  t.is(back.code, 0, back.err);
  const retired = await there.cutover(['retire', '--confirm', `${name}_green`, ...state], env);
  t.is(retired.code, 0, retired.err);
  const third = here.start(['run', 'playbook.yml', ...state], env);
  await until('the last gate', atGate);
  third.child.kill('SIGKILL');
  await third.done;
  const resumed = await there.cutover(['resume', '--yes', ...state], env);
  t.is(resumed.code, 0, resumed.err);
  t.regex(resumed.err, /completed/);
});
