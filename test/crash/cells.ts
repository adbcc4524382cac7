import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { dump } from '../helpers/dump.ts';
import type { Outcome, Status } from '../helpers/cli.ts';
import { isSettled, problemsOf, statusOf, type Expected } from './expectations.ts';
import type { Fault, Moment, Order } from './order.ts';
import { readPoints, restart, scene, withoutWrites, type Scene, type Stage } from './scene.ts';

export type Recovery = 'resume' | 'abort';
/** Commands into which faults are put: a run, whole or held before its switch and gone on with, and what may follow it. */
export type Subject = 'run' | 'prepare' | 'go-on' | 'swap-back' | 'switch' | 'retire';

export interface Cell {
  readonly subject: Subject;
  readonly fault: Fault;
  readonly point: string;
  readonly side: Moment;
  readonly torn?: boolean;
  readonly recovery: Recovery;
  /** The recovery is killed as well, at this effect of its own; then it is done once more. */
  readonly again?: number;
}

export const nameOf = ({ subject, fault, point, side, torn, recovery, again }: Cell): string =>
  `${fault} ${torn ? 'in the middle of' : side} ${subject}: ${point} → ${isOfRun(subject) ? recovery : 'again'}${
    again === undefined ? '' : `, killed at its effect ${again}, and once more`
  }`;

/** Before it is completed a run can be gone on with, or put back. */
export const isOfRun = (subject: Subject): boolean => ['run', 'prepare', 'go-on'].includes(subject);

/** The points of a life without faults, in order, and what the databases look like then. */
export interface Recorded {
  readonly points: Readonly<Partial<Record<Subject, readonly string[]>>>;
  readonly expected: Expected;
}

const argumentsOf = (subject: Subject, { database, stage }: Scene): string[] =>
  ({
    run: ['run', 'playbook.yml', '--yes'],
    prepare: ['run', 'playbook.yml', '--prepare', '--yes'],
    'go-on': ['resume', '--yes'],
    'swap-back': ['swap-back', ...(stage.live ? [] : ['--accept-data-loss']), '--yes'],
    switch: ['switch', '--yes'],
    retire: ['retire', '--confirm', `${database}_previous`],
  })[subject];

async function must(outcome: Promise<Outcome>): Promise<Outcome> {
  const ended = await outcome;
  if (ended.code !== 0) throw new Error(`exit ${ended.code} ${ended.signal ?? ''}\n${ended.out}${ended.err}`);
  return ended;
}

/** Lives that together have every command in them. */
const lives = ({ live }: Stage): readonly (readonly Subject[])[] => [
  live ? ['run', 'swap-back', 'switch'] : ['run', 'swap-back'],
  live ? ['prepare', 'go-on', 'retire'] : ['run', 'retire'],
];

/** What has to be done before a command can be given. */
const BEFORE: Readonly<Record<Subject, readonly Subject[]>> = {
  run: [],
  prepare: [],
  'go-on': ['prepare'],
  'swap-back': ['run'],
  switch: ['run', 'swap-back'],
  retire: ['run'],
};

/** Lives whole lives, and notes every effect of them. */
export async function record(at: Stage): Promise<Recorded> {
  const points: Partial<Record<Subject, string[]>> = {};
  const expected: Record<string, readonly string[]> = { unwound: at.before, refused: at.before };
  for (const life of lives(at)) {
    const subject = await scene(at);
    subject.client.start();
    for (const command of life) {
      const file = join(subject.folder, `points-${command}`);
      await must(subject.cutover(argumentsOf(command, subject), { record: file }));
      points[command] = await readPoints(file);
      const { phase } = (await statusOf(subject))!;
      expected[phase] = withoutWrites(await dump(at.server, subject.database));
    }
    await subject.end();
  }
  return { points, expected };
}

/** Plays one cell; gives what is wrong afterwards, and how the run ended. */
export async function play(
  at: Stage,
  cell: Cell,
  { expected }: Recorded,
): Promise<{ problems: string[]; end: string }> {
  const subject = await scene(at);
  const said: string[] = [];
  try {
    subject.client.start();
    if (!(await subject.client.writes(5000))) return { problems: ['the scene is broken'], end: '' };
    for (const first of BEFORE[cell.subject]) await must(subject.cutover(argumentsOf(first, subject)));
    const { fault, point, side, torn } = cell;
    const order: Partial<Order> = { fault, point, side, ...(torn ? { torn } : {}) };
    const struck = subject.cutover(argumentsOf(cell.subject, subject), order);
    if (fault === 'server') await serverFault(at, subject, struck);
    const outcome = await struck;
    said.push(outcome.err);
    if (!existsSync(subject.struck)) {
      // How often it is done may depend on the moment, as with locks that are tried for.
      const mayBe = /#\d+$/.test(point) && outcome.code === 0;
      return { problems: mayBe ? [] : [`the point was not reached: ${outcome.err}`], end: 'not reached' };
    }
    const problems = await recover(subject, cell, outcome, said);
    problems.push(...(await letGo(subject, cell, said)));
    problems.push(...(await problemsOf(subject, expected)));
    const status = await statusOf(subject);
    return { problems: problems.length > 0 ? [...problems, ...said] : [], end: status?.phase ?? 'no run' };
  } catch (error) {
    return { problems: [String(error), ...said], end: '' };
  } finally {
    await subject.end();
  }
}

async function serverFault(at: Stage, { struck }: Scene, running: Promise<Outcome>): Promise<void> {
  const ended = running.then(
    () => true,
    () => true,
  );
  while (!existsSync(struck) && !(await Promise.race([ended, sleep(20, false)])));
  if (!existsSync(struck)) return;
  await sleep(500);
  await restart(at);
}

/** Does what the operator would do; gives what is wrong about how it went. */
async function recover(subject: Scene, cell: Cell, outcome: Outcome, said: string[]): Promise<string[]> {
  const killed = cell.fault === 'kill';
  if (killed !== (outcome.signal === 'SIGKILL'))
    return [`ended with ${outcome.code} ${outcome.signal ?? ''}`];
  const now = await unheld(subject);
  if (isSettled(now)) return [];
  const command = recoveryOf(cell, subject);
  if (cell.again !== undefined) {
    const first = await subject.cutover(command, { fault: 'kill', nth: cell.again, side: 'before' });
    said.push(first.err);
    if (isSettled(await unheld(subject))) return [];
  }
  const recovered = await subject.cutover(command);
  said.push(recovered.err);
  // A resume goes on with what can be gone on with; on its way back a run only gets back.
  const allowed = cell.recovery === 'resume' && cell.fault !== 'kill' ? [0, 4] : [0];
  return allowed.includes(recovered.code ?? -1) ? [] : [`${command[0]} ended with ${recovered.code}`];
}

const recoveryOf = ({ subject, recovery }: Cell, scene: Scene): string[] =>
  isOfRun(subject) ? (recovery === 'resume' ? ['resume', '--yes'] : ['abort']) : argumentsOf(subject, scene);

/** A run that is held is no end: it is gone on with, or put back. */
async function letGo(subject: Scene, cell: Cell, said: string[]): Promise<string[]> {
  if ((await statusOf(subject))?.phase !== 'held') return [];
  const command = recoveryOf(cell, subject);
  const ended = await subject.cutover(command);
  said.push(ended.err);
  return ended.code === 0 ? [] : [`${command[0]} of the run that was held ended with ${ended.code}`];
}

/** How it stands once nobody works on it: whoever lets clients go on after a death needs a moment. */
async function unheld(subject: Scene): Promise<Status | undefined> {
  for (const deadline = Date.now() + 10_000; ; await sleep(100)) {
    const status = await statusOf(subject);
    if (!status?.writer || Date.now() > deadline) return status;
  }
}

/** Every cell of the matrix, made of the points that a life without faults has. */
export function allCells({ points }: Recorded): Cell[] {
  const cells: Cell[] = [];
  const recoveries = ['resume', 'abort'] as const;
  for (const subject of ['run', 'prepare', 'go-on', 'swap-back', 'switch', 'retire'] as const) {
    for (const [index, point] of (points[subject] ?? []).entries()) {
      const turn = isOfRun(subject) ? recoveries : recoveries.slice(0, 1);
      const isJournal = point.startsWith('journal');
      for (const recovery of turn) {
        for (const side of ['before', 'after'] as const)
          cells.push({ subject, fault: 'kill', point, side, recovery });
        if (point.endsWith('write'))
          cells.push({ subject, fault: 'kill', point, side: 'after', torn: true, recovery });
      }
      // The slower faults take turns in where they stand and how they are recovered from.
      const side = index % 2 === 0 ? 'before' : 'after';
      const recovery = turn[Math.floor(index / 2) % turn.length]!;
      if (index % 3 === 0) cells.push({ subject, fault: 'server', point, side, recovery });
      if (index % 2 === 0) cells.push({ subject, fault: 'cut', point, side, recovery });
      if (isJournal && point.endsWith('write'))
        cells.push({ subject, fault: 'disk', point, side: 'before', recovery });
      if (subject === 'run' && index % 6 === 3) {
        for (const again of [2, 5, 9, 14, 22, 33])
          cells.push({ subject, fault: 'kill', point, side: 'after', recovery: turn[again % 2]!, again });
      }
    }
  }
  return cells;
}
