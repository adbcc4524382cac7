import type { Event } from '../../core/event.ts';
import { fill, roomOf, timesFull } from '../stage/disk.ts';
import type { Stage } from '../stage/stage.ts';
import type { Network } from '../stage/network.ts';
import type { Take } from '../take.ts';
import { begins, putBackHeld, RUN, type Struck } from './struck.ts';
import type { Fault } from './wish.ts';

/** Something that is in the way of a run from one of its steps on, until it is taken away. */
export interface Hindrance {
  begin(): Promise<void>;
  /** Repeatable. */
  end(): Promise<void>;
  /** Hears what the run does. */
  heard?(event: Event): void;
  /** Whether the run met it. */
  met(): Promise<boolean>;
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
  { kind, step }: Fault,
  heard: (event: Event) => void,
): Promise<Struck> {
  const { tool, clients } = take;
  const before = await stage.inventory();
  const hindrance =
    kind === 'refuse' ? refusal(take) : kind === 'full' ? await fullDisk(stage) : slowWay(take.network!);
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
    // It was told above, unless the command's own error is the one to tell.
    await begun.catch(() => undefined);
    await hindrance.end();
  }
  const aborted = await putBackHeld(take, told);
  const state = (await take.runs()).at(-1);
  const happened = told.code !== 0 || (await hindrance.met());
  const came = {
    told,
    state,
    happened,
    as: 'the run came through',
    well: told.code === 0 && !hindrance.mustFail(),
  };
  // In the preflight it is a refusal.
  if (aborted?.code !== 0 && told.code !== 3 && told.code !== 4) return came;
  const left = differences(before, await stage.inventory());
  clients.reading = false;
  if (!(await goOn(take))) left.push('no client was answered');
  const again = await tool.call(RUN, heard);
  return {
    ...came,
    told: again,
    state: (await take.runs()).at(-1),
    as: `${aborted ? 'the run was held, abort put everything back' : 'everything was put back'}, and the next run came through`,
    well: again.code === 0,
    away: [told, ...(aborted ? [aborted] : []), again],
    left,
  };
}

/** How long it may take until the first client is answered. */
const ANSWERED_MS = 30_000;

/** Clients work for a moment, and are answered. */
async function goOn(take: Take): Promise<boolean> {
  const { answered } = take.clients;
  const before = answered.length;
  for (const deadline = Date.now() + ANSWERED_MS; Date.now() < deadline;) {
    await take.settle();
    if (answered.length > before) return true;
  }
  return false;
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
    met: async () => inTime,
    mustFail: () => inTime,
  };
}

/** The tool and poolers reach the servers slowly. */
const slowWay = (network: Network): Hindrance => ({
  async begin() {
    network.slow = true;
  },
  async end() {
    network.slow = false;
  },
  met: async () => network.pieces > 0,
  mustFail: () => false,
});

/** The disk of the server on which green is. */
async function fullDisk(stage: Stage): Promise<Hindrance> {
  const side = stage.sides.at(-1)!;
  const [before, room] = [await timesFull(stage, side), await roomOf(stage)];
  let undo: (() => Promise<void>) | undefined;
  return {
    async begin() {
      undo = await fill(stage, side, room!);
    },
    async end() {
      await undo?.();
      undo = undefined;
    },
    met: async () => (await timesFull(stage, side)) > before,
    mustFail: () => false,
  };
}
