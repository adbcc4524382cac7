import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { ExecutionContext } from 'ava';

/** A way to a port of this machine whose connections can be cut, and made anew. */
export interface Cuttable {
  /** The same URL by this way. */
  through(url: string): string;
  cut(): void;
}

/**
 * `heard` gets what clients say on it, after it was passed on. What `refused` says yes to is not passed on: the connection
 * is cut there.
 */
export async function cuttable(
  t: Pick<ExecutionContext, 'teardown'>,
  port: number,
  heard: (words: string) => void = () => undefined,
  refused: (words: string) => boolean = () => false,
): Promise<Cuttable> {
  const open = new Set<Socket>();
  const proxy = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
    }
    upstream.pipe(client);
    client.on('end', () => upstream.end());
    client.on('data', (bytes) => {
      const words = bytes.toString('latin1');
      if (refused(words)) return void client.destroy();
      upstream.write(bytes);
      heard(words);
    });
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  t.teardown(() => {
    proxy.close();
    cut();
  });
  return {
    through(url) {
      const other = new URL(url);
      other.port = String((proxy.address() as AddressInfo).port);
      return other.href;
    },
    cut,
  };
}
