import test from 'ava';
import { addressOf } from '../src/databases/postgres/address.ts';
import { Connection } from '../src/databases/postgres/connection.ts';
import { loadFixture } from '../src/databases/postgres/fixture/load.ts';
import { root, workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

const ORDERS = `${root}fixtures/orders`;

async function load(given: { scale?: number; seed?: number }): Promise<string> {
  const name = await server.database('orders');
  const connection = await Connection.open(addressOf(server.url(name), 'fixture'), name);
  await loadFixture(connection, ORDERS, given);
  await connection.end();
  return name;
}

const rows = async (name: string): Promise<number> =>
  Number((await server.sql('select count(*) as n from orders', name))[0]!['n']);

test('the same scale and seed give the same rows, and others do not', async (t) => {
  const work = await workplace(t);
  const compare = async (one: string, other: string) =>
    work.cutover(['compare', '${ONE}', '${OTHER}', '-q'], { ONE: server.url(one), OTHER: server.url(other) });
  const [first, again, other] = [await load({ seed: 7 }), await load({ seed: 7 }), await load({ seed: 8 })];
  const same = await compare(first, again);
  t.is(same.code, 0, same.out);
  t.is((await compare(first, other)).code, 5);
  t.is(await rows(first), 10_000);
  t.is(await rows(await load({ scale: 0.1 })), 1000);
});
