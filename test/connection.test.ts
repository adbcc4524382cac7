import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { codeOf } from '../src/core/errors.ts';
import { isAway } from '../src/core/transient.ts';
import { addressOf, type Address } from '../src/databases/postgres/address.ts';
import { Connection, openPatiently } from '../src/databases/postgres/connection.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

/** A way to the server on which something happens to each login; gives its address. */
async function way(t: ExecutionContext, login: (client: Socket, server: Socket) => void): Promise<Address> {
  const listener = createServer((client) => {
    client.on('error', () => undefined);
    client.once('data', (first) => {
      const upstream = connect(server.cluster.port, '127.0.0.1');
      upstream.on('error', () => undefined);
      upstream.write(first);
      client.pipe(upstream);
      login(client, upstream);
    });
  });
  await new Promise<void>((resolve) => void listener.listen(0, '127.0.0.1', resolve));
  t.teardown(() => listener.close());
  const url = new URL(server.url('postgres'));
  url.port = String((listener.address() as AddressInfo).port);
  return addressOf(url.href, 'cutover test');
}

test('a server that goes down in the middle of a login is away, and is waited for', async (t) => {
  let logins = 0;
  let broken = 2;
  const address = await way(t, (client, upstream) => {
    logins += 1;
    if (logins <= broken) client.end();
    else upstream.pipe(client);
  });
  const connection = await openPatiently(address, 'postgres', 10_000);
  t.is(logins, 3);
  await connection.end();
  broken = 4;
  const error = await t.throwsAsync(Connection.open(address, 'postgres'), {
    message: /Connection terminated/,
  });
  t.true(isAway(error));
});

const READY = Buffer.from('5a0000000549', 'hex');
/** As a server says it to a session that it ends. */
const ENDED = Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0');

test('a session that is ended right behind its login says by what, and another one is opened', async (t) => {
  let ended = 0;
  let left = 1;
  const address = await way(t, (client, upstream) => {
    upstream.on('data', (chunk: Buffer) => {
      client.write(chunk);
      if (left === 0 || !chunk.subarray(-READY.length).equals(READY)) return;
      left -= 1;
      ended += 1;
      const header = Buffer.from('E\0\0\0\0');
      header.writeInt32BE(ENDED.length + 4, 1);
      client.end(Buffer.concat([header, ENDED]));
      upstream.destroy();
    });
  });
  const error = await t.throwsAsync(Connection.open(address, 'postgres'));
  t.is(codeOf(error), '57P01', error.message);
  left = 2;
  const connection = await openPatiently(address, 'postgres', 10_000);
  t.is(ended, 3);
  t.deepEqual(await connection.query('select 1 as one'), [{ one: 1 }]);
  await connection.end();
});
