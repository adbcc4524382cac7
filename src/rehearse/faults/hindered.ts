import type { Event } from '../../core/event.ts';
import type { Stage } from '../stage/stage.ts';
import type { Take } from '../take.ts';
import type { Told } from '../tool.ts';
import { begins, RUN, type Struck } from './struck.ts';
import type { Fault } from './wish.ts';

/** Something that is in the way of a run from one of its steps on, until it is taken away. */
export interface Hindrance {
  begin(): Promise<void>;
  /** Repeatable. */
  end(): Promise<void>;
  /** Hears what the run does. */
  heard?(event: Event): void;
  /** Whether the run met it. */
  met(told: Told): boolean;
  /** The run cannot have come through. */
  mustFail(): boolean;
}

/**
 * Makes the run with something in its way. When it was put back, clients go on for a moment, what was in the way is taken
 * away, and the run is made again: it must come through then.
 */
export async function hindered(
  take: Take,
  stage: Stage,
  { step }: Fault,
  heard: (event: Event) => void,
): Promise<Struck> {
  const { tool, clients } = take;
  const before = await stage.inventory();
  const hindrance = refusal(take);
  let begun: Promise<void> = Promise.resolve();
  let told;
  try {
    told = await tool.call(RUN, (event) => {
      heard(event);
      hindrance.heard?.(event);
      if (!begins(event, step)) return;
      begun = hindrance.begin();
      // Told below, when the command has ended.
      begun.catch(() => undefined);
    });
    await begun;
  } finally {
    await begun.catch(() => undefined);
    await hindrance.end();
  }
  const state = (await take.runs()).at(-1);
  const happened = hindrance.met(told);
  const came = {
    told,
    state,
    happened,
    as: 'the run came through',
    well: told.code === 0 && !hindrance.mustFail(),
  };
  // In the preflight it is a refusal.
  if (told.code !== 3 && told.code !== 4) return came;
  const left = differences(before, await stage.inventory());
  clients.reading = false;
  await take.settle();
  const again = await tool.call(RUN, heard);
  if (!clients.answered.some(({ at, ms }) => at > told.to && at + ms < again.from))
    left.push('no client was answered');
  return {
    ...came,
    told: again,
    state: (await take.runs()).at(-1),
    as: 'everything was put back, and the next run came through',
    well: again.code === 0,
    away: [told, again],
    left,
  };
}

const differences = (before: readonly string[], after: readonly string[]): string[] => [
  ...after.filter((line) => !before.includes(line)).map((line) => `left over: ${line}`),
  ...before.filter((line) => !after.includes(line)).map((line) => `missing: ${line}`),
];

/** A target that refuses to be flipped. */
function refusal(take: Take): Hindrance {
  let undo: (() => Promise<void>) | undefined;
  let inTime = false;
  return {
    async begin() {
      undo = await take.refuse();
    },
    heard(event) {
      if (begins(event, 'switch')) inTime = undo !== undefined;
    },
    async end() {
      await undo?.();
      undo = undefined;
    },
    met: ({ code }) => inTime || code !== 0,
    mustFail: () => inTime,
  };
}
