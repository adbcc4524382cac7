import type { Event } from '../core/event.ts';
import { keptDatabase, type Take } from './take.ts';
import type { Told } from './tool.ts';

/** The commands of a take, up to the first that fails; true when all came through. */
export type Story = (take: Take, heard: (told: Told) => void) => Promise<boolean>;

class Ended extends Error {}

async function tell(
  take: Take,
  heard: (told: Told) => void,
  work: (
    call: (words: readonly string[], onEvent?: (event: Event) => void) => Promise<Told>,
  ) => Promise<void>,
): Promise<boolean> {
  try {
    await work(async (words, onEvent) => {
      const told = await take.tool.call(words, onEvent);
      heard(told);
      if (told.code !== 0) throw new Ended();
      return told;
    });
    return true;
  } catch (error) {
    if (error instanceof Ended) return false;
    throw error;
  }
}

const retire = async (take: Take): Promise<string[]> => [
  'retire',
  '--confirm',
  keptDatabase((await take.runs()).at(-1)!),
];

/** Clients write all the time; there, back, there once more, and the previous copy is retired. */
export const live: Story = (take, heard) =>
  tell(take, heard, async (call) => {
    take.clients.start();
    await take.settle();
    for (const words of [
      ['run', 'playbook.yml', '--yes'],
      ['swap-back', '--yes'],
      ['switch', '--yes'],
    ]) {
      await call(words);
      await take.settle();
    }
    await call(['verify', 'playbook.yml']);
    await take.clients.stop();
    await call(await retire(take));
  });

/**
 * Without sync a swap back loses what was written since the switch, so that clients only read from the fence to the swap
 * back: then everything that was acknowledged must be there.
 */
export const closed: Story = (take, heard) =>
  tell(take, heard, async (call) => {
    const { clients } = take;
    const run = async (): Promise<void> => {
      await call(['run', 'playbook.yml', '--yes', '--json'], (event) => {
        if (event.type === 'step-started' && event.step === 'fence') clients.reading = true;
      });
      await take.settle();
    };
    clients.start();
    await take.settle();
    await run();
    await call(['swap-back', '--yes']);
    clients.reading = false;
    await take.settle();
    await call(await retire(take));
    await run();
    clients.reading = false;
    await take.settle();
    await clients.stop();
    await call(await retire(take));
  });
