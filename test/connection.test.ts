import { connect, createServer, type AddressInfo } from 'node:net';
import test from 'ava';
import { isAway } from '../src/core/transient.ts';
import { addressOf } from '../src/databases/postgres/address.ts';
import { Connection, openPatiently } from '../src/databases/postgres/connection.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

test('a server that goes down in the middle of a login is away, and is waited for', async (t) => {
  let logins = 0;
  let broken = 2;
  const listener = createServer((client) => {
    client.on('error', () => undefined);
    client.once('data', (first) => {
      logins += 1;
      if (logins <= broken) return client.end();
      const upstream = connect(server.cluster.port, '127.0.0.1');
      upstream.on('error', () => undefined);
      upstream.write(first);
      return client.pipe(upstream).pipe(client);
    });
  });
  await new Promise<void>((resolve) => void listener.listen(0, '127.0.0.1', resolve));
  t.teardown(() => listener.close());
  const url = new URL(server.url('postgres'));
  url.port = String((listener.address() as AddressInfo).port);
  const address = addressOf(url.href, 'cutover test');
  const connection = await openPatiently(address, 'postgres', 10_000);
  t.is(logins, 3);
  await connection.end();
  broken = 4;
  const error = await t.throwsAsync(Connection.open(address, 'postgres'), {
    message: /Connection terminated/,
  });
  t.true(isAway(error));
});
