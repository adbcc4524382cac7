import test from 'ava';
import { workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { openCheck } from './helpers/check-contract.ts';
import type { CheckContext } from '../src/core/drivers/check.ts';
import { createReader, prepareReaderSession } from '../src/databases/postgres/reading/reader.ts';

const TABLES = 5000;
let server: TestServer;

test.before(async () => {
  server = await testServer(18, { max_locks_per_transaction: '2000' });
});
test.after.always(() => server?.stop());

/** A reader of which it is counted what it sends. */
async function counting(name: string) {
  const client = await server.connect(name);
  await prepareReaderSession(client);
  const read = client.query.bind(client);
  const counted = { sent: 0, reader: createReader([client]) };
  client.query = ((...given: Parameters<typeof read>) => {
    counted.sent += 1;
    return read(...given);
  }) as typeof client.query;
  return counted;
}

/** Compares the schemas of two databases; gives what was sent to the servers for it. */
async function statementsFor(blue: string, green: string): Promise<{ sent: number; found: string }> {
  const [one, other] = [await counting(blue), await counting(green)];
  const context: CheckContext = {
    blue: one.reader,
    green: other.reader,
    catalogs: { blue: await one.reader.catalog(), green: await other.reader.catalog() },
    expect: { renamed: {}, dropped: [], changed: [] },
    env: {},
    signal: new AbortController().signal,
    progress: () => undefined,
  };
  const findings = await openCheck('schema').run(context);
  return { sent: one.sent + other.sent, found: findings.map(({ message }) => message).join('\n') };
}

test('one row in the last of 5,000 tables is found and named, and one definition among all of theirs', async (t) => {
  const work = await workplace(t);
  const blue = await server.database('many');
  for (let start = 0; start < TABLES; start += 250) {
    const statements = Array.from({ length: 250 }, (_, index) => {
      const name = `t${String(start + index).padStart(5, '0')}`;
      return `create table ${name} (id int primary key, name text not null, made timestamptz default now());
        insert into ${name} values (1, 'one'), (2, 'two');`;
    });
    await server.sql(statements.join('\n'), blue);
  }
  const green = `${blue}_green`;
  await server.sql(`create database ${green} template ${blue}`);
  const env = { BLUE: server.url(blue), GREEN: server.url(green) };
  const both = ['${BLUE}', '${GREEN}'];
  const same = await work.cutover(['compare', ...both, '--quiet'], env);
  t.is(same.code, 0, same.out + same.err);
  // As many statements as for two tables.
  const small = await server.database('few');
  await server.sql(
    'create table one (id int primary key); create table other (id int references one)',
    small,
  );
  const few = await statementsFor(small, small);
  const many = await statementsFor(blue, green);
  t.regex(few.found, /^all \d+ objects/);
  t.regex(many.found, /^all \d\d,\d\d\d objects/);
  t.is(many.sent, few.sent);
  t.true(few.sent < 100, `${few.sent} statements`);
  t.regex(same.out, /10,000 rows in 5,000 tables \(15,000 columns\)/);
  await server.sql(
    `update t04999 set name = 'other' where id = 2; alter table t02500 alter name drop not null`,
    green,
  );
  const { code, out } = await work.cutover(['compare', ...both], env);
  t.is(code, 5, out);
  t.regex(out, /public\.t04999 differs in name: 2 rows on blue, 2 rows on green\n +id=2: name differs\n/);
  t.regex(out, /~ column public\.t02500\.name +text not null → text +CHANGED/);
  t.is(out.match(/✖/g)?.length, 2, out);
});
