import { once } from 'node:events';
import { globalAgent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerRuntimeClient } from 'testcontainers';
import { messageOf, StepError, UsageError } from '../../core/errors.ts';

/** An engine for containers, and what speaks to it. */
export interface Engine {
  readonly library: typeof import('testcontainers');
  readonly client: ContainerRuntimeClient;
}

/** On every container of a stage: the stage's folder, and the side whose server it is. */
const FOLDER = 'cutover.rehearsal';
const SIDE = 'cutover.rehearsal.side';

const ANSWER_MS = 5000;

/** The engine of this machine. Throws UsageError when there is none, or nothing to speak to it with. */
export async function openEngine(): Promise<Engine> {
  const library = await import('testcontainers').catch((cause: unknown) => {
    throw new UsageError(`testcontainers cannot be loaded: ${messageOf(cause).split('\n', 1)[0]}`, {
      cause,
      hint: 'npm install testcontainers beside the tool; or leave --server docker out',
    });
  });
  const finding = library.getContainerRuntimeClient();
  try {
    const slow = sleep(ANSWER_MS, undefined, { ref: false }).then(() => {
      throw new Error(`no answer in ${ANSWER_MS / 1000} s`);
    });
    return { library, client: await Promise.race([finding, slow]) };
  } catch (cause) {
    // Nobody waits for it any more.
    finding.catch(() => undefined);
    hangUp();
    throw new UsageError(`there is no engine for containers: ${messageOf(cause)}`, {
      cause,
      hint: 'start Docker or Podman, or say by DOCKER_HOST where it listens; or leave --server docker out',
    });
  }
}

/** Ends what is asked of the engine: an answer that does not come would keep the process. */
const hangUp = (): void => globalAgent.destroy();

/** Fetches an image that is not there yet. */
export async function fetchImage(
  { library, client }: Engine,
  image: string,
  signal: AbortSignal,
): Promise<void> {
  const name = library.ImageName.fromString(image);
  signal.throwIfAborted();
  const pulling = client.image.pull(name, { force: false, platform: undefined });
  const over = new AbortController();
  try {
    // What is hung up on may never settle.
    const interrupted = once(signal, 'abort', { signal: over.signal }).then(() => signal.throwIfAborted());
    // The race tells of it; when the image came first nobody does.
    interrupted.catch(() => undefined);
    await Promise.race([pulling, interrupted]);
    // Podman does not say here that there is none.
    if (!(await client.image.exists(name))) throw new Error('the engine could not pull it');
  } catch (cause) {
    // Hung up on below; why it was given up is told.
    pulling.catch(() => undefined);
    if (signal.aborted) hangUp();
    signal.throwIfAborted();
    throw new UsageError(`the image ${name.string} cannot be had: ${messageOf(cause)}`, {
      cause,
      hint: 'pull it by hand, or name another one by --image',
    });
  } finally {
    over.abort();
  }
}

export const labelsOf = (folder: string, side: string): Record<string, string> => ({
  [FOLDER]: folder,
  [SIDE]: side,
});

/** Removes the containers of a stage, by its folder, with all that they hold. */
export async function removeContainers({ client }: Engine, folder: string): Promise<void> {
  const { dockerode } = client.container;
  const found = await dockerode.listContainers({ all: true, filters: { label: [`${FOLDER}=${folder}`] } });
  // Green's uses the network of blue's, which therefore goes last.
  const inOrder = found.toSorted((one, two) => two.Labels[SIDE]!.localeCompare(one.Labels[SIDE]!));
  for (const { Id } of inOrder) {
    const container = dockerode.getContainer(Id);
    // Nothing of it is wanted any more; it may have ended by itself.
    await container.kill().catch(() => undefined);
    await container.remove({ force: true, v: true }).catch((cause: unknown) => {
      if ((cause as { statusCode?: unknown }).statusCode === 404) return;
      throw new StepError(`a container of the stage could not be removed: ${messageOf(cause)}`, {
        cause,
        hint: `docker rm --force --volumes ${Id.slice(0, 12)}`,
      });
    });
  }
}
