import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import type { CheckContext } from '../src/core/drivers/check.ts';
import { openCheck, said } from './helpers/check-contract.ts';

/** A real server of this machine. */
async function serving(t: ExecutionContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const context = (signal = new AbortController().signal): CheckContext =>
  ({ signal, env: {}, progress: () => undefined }) as unknown as CheckContext;

const ask = async (options: object) => said(await openCheck('http', options).run(context()));

test('status, text, redirects, and what is not there', async (t) => {
  const url = await serving(t, (request, response) => {
    if (request.url === '/moved') return void response.writeHead(302, { location: '/' }).end();
    if (request.url === '/broken') return void response.writeHead(500).end('database is missing a column');
    response.end('all is well');
  });
  t.regex(await ask({ url }), /^ok \| http:\/\/127\.0\.0\.1:\d+ answers 200 in /);
  t.regex(await ask({ url, contains: 'is well' }), /^ok .* answers 200 with "is well" in it in /);
  t.regex(await ask({ url, contains: 'fine' }), /^failure .* answers without "fine"/);
  t.regex(await ask({ url: `${url}/broken` }), /^failure .* answers 500 instead of 200 .*missing a column/);
  t.regex(await ask({ url: `${url}/broken`, status: 500 }), /^ok /);
  t.regex(await ask({ url: `${url}/moved` }), /^failure .* answers 302 instead of 200/);
  t.regex(await ask({ url: `${url}/moved`, status: 302 }), /^ok /);
  t.regex(await ask({ url: 'http://127.0.0.1:1' }), /^failure .*cannot be asked: .*(ECONNREFUSED|bad port)/);
  t.regex(await ask({ url: 'not a url' }), /^failure .*cannot be asked/);
});

test('an answer that does not end has its time limit, and a signal ends the waiting', async (t) => {
  const url = await serving(t, (_request, response) => void response.write('begins'));
  t.regex(await ask({ url, timeout: '200ms' }), /^failure .*no answer within 200 ms/);
  const stop = new AbortController();
  const waiting = openCheck('http', { url }).run(context(stop.signal));
  setTimeout(() => stop.abort(new Error('stopped')), 50);
  await t.throwsAsync(waiting, { message: 'stopped' });
});

test('a secret in the address is shown nowhere', async (t) => {
  const url = await serving(t, (request, response) => void response.writeHead(404).end(`no ${request.url}`));
  const text = await ask({ url: `${url.replace('http://', 'http://user:geheim-42@')}/x` });
  t.notRegex(text, /geheim-42/);
});
