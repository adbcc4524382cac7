import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StartedTestContainer } from 'testcontainers';
import { messageOf, StepError } from '../../core/errors.ts';
import type { Side } from '../../core/side.ts';
import { freePort } from '../../databases/postgres/embedded/processes.ts';
import { addSecret } from '../../util/redact.ts';
import { CONTAINERS } from './abandoned.ts';
import { fetchImage, labelsOf, openEngine, removeContainers, type Engine } from './engine.ts';
import { SETTINGS, versionOf, type StageServer } from './servers.ts';

export interface ContainerOptions {
  /** Of the stage. */
  readonly folder: string;
  readonly sides: readonly Side[];
  readonly image: (side: Side) => string;
  readonly signal: AbortSignal;
}

type Sides<T> = Partial<Record<Side, T>>;

/** That of the images. */
const USUAL_PORT = 5432;
const READY_MS = 120_000;
/** A port that was free may be taken until the engine comes to it. */
const ATTEMPTS = 3;

/** A server for each side, each in a container of its own. */
export async function startContainers(options: ContainerOptions): Promise<Sides<StageServer>> {
  const { folder, sides, image, signal } = options;
  const engine = await openEngine();
  for (const side of sides) await fetchImage(engine, image(side), signal);
  // From here on whoever takes down the folder looks for containers, too.
  await writeFile(join(folder, CONTAINERS), '');
  const end = (): Promise<void> => removeContainers(engine, folder);
  const password = randomBytes(18).toString('base64url');
  addSecret(password);
  try {
    const started = await startAll(engine, options, password);
    const servers: Sides<StageServer> = {};
    for (const [side, { container, port }] of Object.entries(started) as [Side, Running][])
      servers[side] = await serverIn(container, port, password, end);
    return servers;
  } catch (error) {
    await end();
    throw error;
  }
}

interface Running {
  readonly container: StartedTestContainer;
  readonly port: number;
}

async function startAll(
  engine: Engine,
  { folder, sides, image, signal }: ContainerOptions,
  password: string,
): Promise<Sides<Running>> {
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    const started: Sides<Running> = {};
    const ports: number[] = [];
    while (ports.length < sides.length) {
      const port = await freePort(0);
      if (!ports.includes(port)) ports.push(port);
    }
    try {
      for (const [index, side] of sides.entries()) {
        const port = ports[index]!;
        const how = { image: image(side), labels: labelsOf(folder, side), port, password };
        // Servers reach each other, and themselves, by the addresses by which the tool reaches them: they are in one
        // network, and their ports are the same inside and outside.
        const network = started.blue ? { of: started.blue.container.getId() } : { ports };
        started[side] = { container: await startOne(engine, how, network), port };
      }
      return started;
    } catch (cause) {
      await removeContainers(engine, folder);
      // Only what the engine itself has refused.
      const refused = typeof (cause as { statusCode?: unknown }).statusCode === 'number';
      if (refused && attempt < ATTEMPTS) continue;
      throw new StepError(`a container of the stage could not be started: ${messageOf(cause)}`, { cause });
    }
  }
}

function startOne(
  { library }: Engine,
  how: { image: string; labels: Record<string, string>; port: number; password: string },
  network: { of: string } | { ports: readonly number[] },
): Promise<StartedTestContainer> {
  const settings = Object.entries({ ...SETTINGS, port: String(how.port) });
  const container = new library.GenericContainer(how.image)
    .withCommand(['postgres', ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])])
    // Text is ordered as on servers that the tool has started itself.
    .withEnvironment({
      POSTGRES_PASSWORD: how.password,
      POSTGRES_INITDB_ARGS: '--encoding=UTF8 --no-locale',
      LANG: 'C.UTF-8',
    })
    .withLabels(how.labels)
    // What is left is found by its labels; no other container has to look after it.
    .withAutoCleanup(false)
    .withWaitStrategy(library.Wait.forLogMessage(/ready to accept connections/))
    .withStartupTimeout(READY_MS);
  if ('of' in network) return container.withNetworkMode(`container:${network.of}`).start();
  // Where the engine is Podman, testcontainers waits until the port that the image names is led somewhere, too.
  return container
    .withExposedPorts(USUAL_PORT, ...network.ports.map((port) => ({ container: port, host: port })))
    .start();
}

async function serverIn(
  container: StartedTestContainer,
  port: number,
  password: string,
  end: () => Promise<void>,
): Promise<StageServer> {
  const host = container.getHost() === 'localhost' ? '127.0.0.1' : container.getHost();
  const url = (database: string): string =>
    `postgresql://postgres:${password}@${host}:${port}/${encodeURIComponent(database)}`;
  return {
    url,
    version: await readyVersion(url('postgres')),
    async kill(pid) {
      const { exitCode, output } = await container.exec(['sh', '-c', 'kill -9 "$1"', 'kill', String(pid)]);
      if (exitCode !== 0)
        throw new StepError('a process in a container of the stage could not be killed', { detail: output });
    },
    end,
  };
}

/** What an image sets up by a first server, which says that it is ready, too, is behind it when the port answers. */
async function readyVersion(url: string): Promise<string> {
  for (const deadline = Date.now() + READY_MS; ; await sleep(200)) {
    try {
      return await versionOf(url);
    } catch (cause) {
      if (Date.now() > deadline)
        throw new StepError('the server in a container of the stage does not answer', {
          cause,
          detail: messageOf(cause),
        });
    }
  }
}
