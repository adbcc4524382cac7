import { connect, createServer, type Socket } from 'node:net';
import type { TestServer } from './postgres.ts';

/** A way to the server that can swallow everything, without closing anything. */
export interface Blackhole {
  url(database: string): string;
  /** From now on nothing comes through, in neither direction; connections are accepted, and hear nothing. */
  swallow(): void;
  /** New connections come through again; the server notices a while later that what was open is dead. */
  recover(): void;
  stop(): void;
}

export async function blackhole(server: TestServer): Promise<Blackhole> {
  let swallowing = false;
  const lost = new Set<Socket>();
  const sockets = new Set<Socket>();
  const listener = createServer((client) => {
    sockets.add(client);
    client.on('error', () => undefined);
    client.on('close', () => sockets.delete(client));
    let dead = swallowing;
    if (dead) return;
    const upstream = connect(server.cluster.port, '127.0.0.1');
    sockets.add(upstream);
    upstream.on('error', () => undefined);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (data) => {
        dead ||= swallowing;
        if (!dead) to.write(data);
      });
      from.on('close', () => {
        dead ||= swallowing;
        if (dead) lost.add(upstream);
        else to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as { port: number };
  return {
    url: (database) => server.url(database).replace(`:${server.cluster.port}/`, `:${port}/`),
    swallow() {
      swallowing = true;
    },
    recover() {
      swallowing = false;
      setTimeout(() => {
        for (const socket of lost) socket.destroy();
      }, 3000);
    },
    stop() {
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
