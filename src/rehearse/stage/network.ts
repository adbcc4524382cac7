import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Stage } from './stage.ts';

/** How long a piece is under way, in either direction. The next one waits for it, and has 64 kB at most. */
const UNDER_WAY_MS = 25;

/** A way to the servers of a stage that can be made slow. */
export class Network {
  slow = false;
  /** How many pieces have been slow. */
  pieces = 0;
  /** By the ports of the servers. */
  readonly #ways = new Map<string, Server>();
  readonly #open = new Set<Socket>();

  static async open(stage: Stage): Promise<Network> {
    const network = new Network();
    for (const side of stage.sides) await network.#lead(new URL(stage.url(side)).port);
    return network;
  }

  /** The same connection string by this way. */
  through(url: string): string {
    const other = new URL(url);
    other.port = String((this.#ways.get(other.port)!.address() as AddressInfo).port);
    return other.href;
  }

  end(): void {
    for (const way of this.#ways.values()) way.close();
    for (const socket of this.#open) socket.destroy();
  }

  async #lead(port: string): Promise<void> {
    const way = createServer((client) => {
      const server = connect(Number(port), '127.0.0.1');
      this.#carry(client, server);
      this.#carry(server, client);
    });
    this.#ways.set(port, way);
    await once(way.listen(0, '127.0.0.1'), 'listening');
  }

  #carry(from: Socket, to: Socket): void {
    this.#open.add(from.setNoDelay(true));
    from.once('close', () => this.#open.delete(from));
    const delayed = async function* (this: Network, pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const piece of pieces) {
        if (this.slow) {
          this.pieces += 1;
          await sleep(UNDER_WAY_MS);
        }
        yield piece;
      }
    }.bind(this);
    // Whoever is at one end hears that the other one is gone.
    pipeline(from, delayed, to, (error) => {
      if (error) to.destroy();
    });
  }
}
