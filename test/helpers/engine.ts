import { setTimeout as sleep } from 'node:timers/promises';
import { getContainerRuntimeClient } from 'testcontainers';

/** Why there is no engine for containers here; empty when there is one. One that never answers is none either. */
async function whyNot(): Promise<string> {
  const slow = sleep(3000, undefined, { ref: false }).then(() => {
    throw new Error('the container engine does not answer');
  });
  try {
    await Promise.race([getContainerRuntimeClient(), slow]);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

const reason = await whyNot();
if (reason !== '') console.error(`SKIPPED: tests with containers: ${reason}`);

/** Stands in the title of a test that is skipped because of it; otherwise empty. */
export const NEEDS_ENGINE = reason === '' ? '' : ` (SKIPPED: ${reason})`;

interface Found {
  readonly Id: string;
  readonly Labels: Readonly<Record<string, string>>;
}

/** The containers of stages whose folders are in this folder. */
export async function containersUnder(folder: string): Promise<Found[]> {
  const { container } = await getContainerRuntimeClient();
  const all = await container.dockerode.listContainers({ all: true });
  return all.filter(({ Labels }) => Labels['cutover.rehearsal']?.startsWith(`${folder}/`));
}
