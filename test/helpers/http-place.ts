import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ExecutionContext } from 'ava';

/** What an address was asked. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface HttpPlace {
  readonly url: string;
  /** In the order in which it came. */
  readonly asked: Asked[];
}

/** A real server of this machine that writes down what it is asked; `answer` may leave it without an answer. */
export async function httpPlace(
  t: Pick<ExecutionContext, 'teardown'>,
  answer: (response: ServerResponse, asked: Asked, count: number) => unknown = (response) =>
    response.end('ok'),
): Promise<HttpPlace> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      const one = { method: request.method!, path: request.url!, headers: request.headers, body };
      asked.push(one);
      answer(response, one, asked.length);
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}
