import { createServer } from 'node:http';
import { messageOf, RefusedError, UsageError } from '../../core/errors.ts';
import type { Lag } from '../../core/database/live.ts';
import type { RunState } from '../../journal/fold.ts';
import { metricsText } from '../../report/metrics.ts';
import { readLag } from '../../run/meter.ts';
import type { Surroundings } from '../../run/open.ts';
import { nextOpenings } from '../../schedule/calendar.ts';
import { readPlaybooks, type Places } from '../../schedule/places.ts';
import { replaceFile } from '../../util/files/atomic.ts';
import { redact } from '../../util/redact.ts';
import type { GlobalOptions } from './io.ts';
import { allRuns, withStore } from './surroundings.ts';

/**
 * The metrics as they are now: of all runs in the store, and of the windows of these playbooks. With `around` the servers of
 * each playbook's last run are asked besides how far who follows is behind.
 */
export async function collectMetrics(
  options: GlobalOptions,
  places: Places,
  around?: Surroundings,
): Promise<string> {
  const { states, damaged } = await withStore(options, allRuns);
  const now = Date.now();
  const openings = new Map<string, number>();
  for (const { playbook } of await readPlaybooks(places)) {
    const next = nextOpenings(playbook.windows, now, 3).find(({ opens }) => opens > now);
    if (next) openings.set(playbook.name, next.opens);
  }
  const lags = around ? await lagsOf(states, around, places.say) : new Map<string, Lag>();
  return metricsText({ states, damaged: damaged.length, openings, lags });
}

/** By playbook; one that cannot be asked is told, and is not among them. */
async function lagsOf(
  states: readonly RunState[],
  around: Surroundings,
  say: Places['say'],
): Promise<Map<string, Lag>> {
  const lags = new Map<string, Lag>();
  const last = new Map(states.map((state) => [state.plan.name, state]));
  for (const [name, state] of last) {
    const lag = await readLag(state, () => Promise.resolve(around));
    if (lag && 'unknown' in lag) say(redact(`${name}: its lag is not known, ${lag.unknown}`));
    else if (lag) lags.set(name, lag);
  }
  return lags;
}

/** Everybody may read it: whoever collects metrics is another account. */
const MODE = 0o644;

/** Puts metrics in a file's place in one step. Throws UsageError when it cannot be written. */
export async function writeMetrics(file: string, text: string): Promise<void> {
  try {
    await replaceFile(file, text, MODE);
  } catch (cause) {
    throw new UsageError(`the metrics file cannot be written: ${messageOf(cause)}`, { where: file, cause });
  }
}

const CONTENT_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
const LARGEST_PORT = 65_535;

/** A server of metrics. */
export interface MetricsServer {
  /** `http://127.0.0.1:9187/metrics` */
  readonly url: string;
  end(): Promise<void>;
}

/**
 * Answers `GET /metrics`, each time with what `collect` gives. Throws UsageError when the port is none, and RefusedError
 * when it cannot be listened at.
 */
export async function serveMetrics(
  { host, port: given }: { host: string; port: string },
  collect: () => Promise<string>,
): Promise<MetricsServer> {
  const port = Number(given);
  if (!/^\d+$/.test(given) || port > LARGEST_PORT)
    throw new UsageError(`--metrics-port ${given} is no port`, { hint: 'write a number such as 9187' });
  // Those who ask at the same time get the same answer.
  let collecting: Promise<string> | undefined;
  const server = createServer((request, response) => {
    const path = request.url?.split('?', 1)[0];
    if (path !== '/metrics') return void response.writeHead(404).end();
    if (request.method !== 'GET') return void response.writeHead(405, { allow: 'GET' }).end();
    collecting ??= collect().finally(() => (collecting = undefined));
    collecting.then(
      (text) => response.writeHead(200, { 'content-type': CONTENT_TYPE }).end(text),
      (error: unknown) =>
        response
          .writeHead(500, { 'content-type': 'text/plain; charset=utf-8' })
          .end(`${redact(messageOf(error))}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new RefusedError(`metrics cannot be offered at ${host}:${given}: ${messageOf(cause)}`, {
          cause,
          hint: 'give another one with --metrics-port',
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
  // What fails from now on is a client's own matter.
  server.on('error', () => undefined);
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}/metrics`,
    async end() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
