import { setTimeout as sleep } from 'node:timers/promises';
import { schedule } from 'node-cron';
import { EXIT, messageOf } from '../core/errors.ts';
import type { Playbook } from '../core/playbook.ts';
import type { Environment } from '../playbook/values/environment.ts';
import { nextOpenings, openNow, type Opening } from './calendar.ts';
import { turnOf, wordsFor, type Held } from './held.ts';
import type { Left } from './left.ts';
import { missedOf } from './missed.ts';
import { filesOf, readPlaybooks, type Places } from './places.ts';
import { missedWords, type Untold } from './untold.ts';
import { UsedOpenings } from './used.ts';

export interface Scheduling extends Places {
  readonly stateFolder: string;
  readonly signal: AbortSignal;
  /** Runs at the same time. */
  readonly jobs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The run of a playbook of this name that waits for its switch. */
  readonly held: (name: string) => Promise<Held | undefined>;
  /** What processes that died have left of the runs of these playbooks. */
  readonly left: (names: ReadonlySet<string>) => Promise<Left[]>;
  /** Makes a command; gives the exit code. */
  readonly command: (words: readonly string[]) => Promise<number | null>;
  /** Sends what no run can tell of; returns at once. */
  readonly tell: (playbook: Playbook, untold: Untold) => void;
  /** Hears each minute, and after each run; returns at once. */
  readonly onBeat: () => void;
  /** Playbooks by their files, as they were when they could be read last. */
  readonly known: Map<string, Playbook>;
  /** Something may be left of a process that died. */
  unsettled: boolean;
}

interface Due {
  readonly file: string;
  readonly playbook: Playbook;
  /** The one that is open longest. */
  readonly opening: Opening;
  /** Of all that are open now: one run uses them all. */
  readonly keys: readonly string[];
  readonly used: UsedOpenings;
}

async function dueOf(
  playbooks: readonly { file: string; playbook: Playbook }[],
  stateFolder: string,
  now: number,
): Promise<Due[]> {
  const due: Due[] = [];
  for (const { file, playbook } of playbooks) {
    const used = new UsedOpenings(stateFolder, playbook.name);
    const known = new Set((await used.read()).map(({ key }) => key));
    const open = openNow(playbook.windows, now).filter(({ key }) => !known.has(key));
    const [opening] = open;
    if (opening) due.push({ file, playbook, opening, keys: open.map(({ key }) => key), used });
  }
  return due;
}

/** Says and sends of which windows nothing was made: by who was away, or at work, or could not use the playbook. */
async function tellMissed(scheduling: Scheduling): Promise<void> {
  const { stateFolder, known, say, tell, now } = scheduling;
  const files = new Set(await filesOf(scheduling.places));
  for (const file of known.keys()) if (!files.has(file)) known.delete(file);
  for (const { file, playbook } of await readPlaybooks({ ...scheduling, say: () => undefined }))
    known.set(file, playbook);
  for (const playbook of known.values()) {
    const openings = await missedOf(playbook, stateFolder, now());
    if (openings.length === 0) continue;
    say(`${playbook.name}: ${missedWords(openings)}`);
    tell(playbook, { kind: 'missed', openings });
  }
}

/** Settles what processes that died have left: blue must not stay closed until somebody is awake. */
async function settleLeft(scheduling: Scheduling): Promise<void> {
  const { signal, say, left, command } = scheduling;
  if (!scheduling.unsettled || signal.aborted) return;
  const names = new Set(
    (await readPlaybooks({ ...scheduling, say: () => undefined })).map(({ playbook }) => playbook.name),
  );
  let open = false;
  for (const { run, name, words } of await left(names)) {
    say(`${name}: run ${run} was left by a process that died; to settle it: cutover ${words.join(' ')}`);
    const exit = await command(words);
    say(`${name}: that ended with ${exit ?? 'a signal'}`);
    // A server may only just be away.
    open ||= exit === EXIT.refused || exit === null;
  }
  scheduling.unsettled = open;
}

const MINUTE_MS = 60_000;

/** What is done each minute: runs whose windows are open are made, as many at a time as `jobs` says, and one of a blue. */
export async function beat(scheduling: Scheduling): Promise<{ ran: number; worst: number | null }> {
  const { signal, env, jobs } = scheduling;
  const exits: (number | null)[] = [];
  const tried = new Set<string>();
  const running = new Map<string, Promise<void>>();
  await settleLeft(scheduling);
  await tellMissed(scheduling);
  for (;;) {
    const open = await dueOf(await readPlaybooks(scheduling), scheduling.stateFolder, scheduling.now());
    const due = open.find(
      ({ file, playbook, opening }) =>
        !tried.has(`${file} ${opening.key}`) && !running.has(blueOf(playbook, env)),
    );
    if (due && running.size < jobs && !signal.aborted) {
      tried.add(`${due.file} ${due.opening.key}`);
      const blue = blueOf(due.playbook, env);
      const making = make(scheduling, due)
        .then((exit) => void exits.push(exit))
        .finally(() => running.delete(blue));
      // What it throws is thrown where it is waited for.
      making.catch(() => undefined);
      running.set(blue, making);
      continue;
    }
    if (running.size === 0) break;
    // Meanwhile the window of another database may open.
    const next = sleep(MINUTE_MS, undefined, { ref: false });
    await Promise.race([...running.values(), ...(running.size < jobs ? [next] : [])]);
    await settleLeft(scheduling);
  }
  const worst = exits.includes(null) ? null : (exits.find((exit) => exit !== 0) ?? 0);
  return { ran: exits.length, worst };
}

/** Two playbooks may be about one database, and only one run at a time is. */
function blueOf({ blue }: Playbook, env: Environment): string {
  if (blue.kind === 'embedded') return `embedded ${blue.database}`;
  try {
    const { hostname, port, pathname } = new URL(env.resolve(blue.url));
    return `${hostname}:${port || '5432'}${pathname}`;
  } catch {
    // The run says what is wrong with it.
    return blue.url;
  }
}

/** Makes the run of an opening, which is used by it, however it ends. */
async function make(scheduling: Scheduling, due: Due): Promise<number | null> {
  const { say, command, tell, onBeat, now } = scheduling;
  const { file, playbook, opening, keys, used } = due;
  say(
    `${playbook.name}: its window ${opening.key} is open; everything has to be over by ${iso(opening.closes)}`,
  );
  const held = await scheduling.held(playbook.name);
  await used.begin(keys, new Date(now()));
  const turn = held && turnOf(held, playbook, opening);
  if (held && turn !== 'resume') {
    if (turn === 'wait')
      say(`${playbook.name}: run ${held.run} waits already for a window that is for the switch`);
    const exit = turn === 'wait' ? EXIT.done : EXIT.held;
    if (typeof turn === 'object') {
      say(`${playbook.name}: nothing is begun: ${turn.obstacle}`);
      tell(playbook, { kind: 'held', run: held.run, obstacle: turn.obstacle, opening });
    }
    await used.end(keys, exit);
    return exit;
  }
  const exit = await command(wordsFor(file, held, opening));
  await used.end(keys, exit);
  say(`${playbook.name}: the run ended with ${exit ?? 'a signal'}`);
  if (exit === null) {
    tell(playbook, { kind: 'died' });
    scheduling.unsettled = true;
  }
  onBeat();
  return exit;
}

const iso = (instant: number): string => new Date(instant).toISOString();

/** When the next window opens, in words. */
async function nextWords(scheduling: Scheduling): Promise<string> {
  const openings = (await readPlaybooks(scheduling)).flatMap(({ playbook }) =>
    nextOpenings(playbook.windows, scheduling.now(), 3)
      .filter(({ opens }) => opens > scheduling.now())
      .map((opening) => ({ opening, name: playbook.name })),
  );
  const [next] = openings.toSorted((one, other) => one.opening.opens - other.opening.opens);
  return next
    ? `the next window opens at ${iso(next.opening.opens)}: ${next.name}, ${next.opening.key}`
    : 'no window opens any more, or no playbook has one';
}

/** Makes the runs whose windows are open now; gives the first exit code that is not 0. */
export async function once(scheduling: Scheduling): Promise<number | null> {
  const { ran, worst } = await beat(scheduling);
  if (ran === 0) scheduling.say(`no window is open that was not used; ${await nextWords(scheduling)}`);
  return worst;
}

/** Waits for windows, and makes their runs, until the signal fires; the run in flight settles first. */
export async function keepOn(scheduling: Scheduling): Promise<void> {
  const { signal, say } = scheduling;
  let working: Promise<unknown> | undefined;
  const work = (): void => {
    working ??= beat(scheduling)
      .then(async ({ ran }) => {
        if (ran > 0 && !signal.aborted) say(await nextWords(scheduling));
      })
      .catch((error: unknown) => say(messageOf(error)))
      .finally(() => (working = undefined));
  };
  say(await nextWords(scheduling));
  // Whether a window is open is asked each minute, and not when one opens: nothing is missed by who was away.
  const minute = (): void => {
    work();
    scheduling.onBeat();
  };
  const task = schedule('* * * * *', minute, { timezone: 'UTC' });
  work();
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await task.stop();
  await working;
}
