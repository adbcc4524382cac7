import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Finding } from '../core/check.ts';
import { messageOf } from '../core/errors.ts';
import type { Fixture } from '../databases/postgres/embedded/fixture.ts';
import type { RunState } from '../journal/fold.ts';
import { namesOf } from '../plan/build.ts';
import { registries } from '../playbook/schema.ts';
import type { Answered, ClientError } from './clients/clients.ts';
import { faultFinding, faultsOf, strike, tidy, type Fault, type FaultWish } from './faults.ts';
import { harmless, read, type Read, type Reading } from './read.ts';
import { Stage, type StageOptions } from './stage/stage.ts';
import { closed, live } from './story.ts';
import { liveDatabase, Take, type TakeOptions } from './take.ts';
import type { Told } from './tool.ts';
import {
  awayIn,
  commandFinding,
  heldFindings,
  heldOf,
  promisesOf,
  type Held,
  type Window,
} from './verdict.ts';

export interface Rehearsing extends Reading {
  readonly server: string | undefined;
  readonly majors: StageOptions['majors'];
  readonly clients: TakeOptions['clients'];
  /** What is to go wrong, besides; each in a performance of its own. */
  readonly faults: readonly FaultWish[];
  /** The program's own file, which is started for every command. */
  readonly self: string;
  readonly tools: string | undefined;
  readonly signal: AbortSignal;
  /** Hears what is done, as it is done. */
  readonly progress: (line: string) => void;
  readonly heard: (told: Told) => void;
}

export interface Rehearsal {
  readonly playbook: string;
  readonly live: boolean;
  readonly fixture: Pick<Fixture, 'folder' | 'scale' | 'seed'>;
  readonly versions: Stage['versions'];
  readonly told: readonly Told[];
  readonly runs: readonly RunState[];
  readonly held: readonly Held[];
  readonly answered: readonly Answered[];
  readonly errors: readonly ClientError[];
  readonly acknowledged: number;
  readonly findings: readonly Finding[];
  /** What of the playbook was not rehearsed, a line each. */
  readonly without: readonly string[];
}

/** Performs a playbook on a stage, with clients at work: there and back and there again. Nothing real is reached. */
export async function rehearse(rehearsing: Rehearsing): Promise<Rehearsal> {
  const { signal, progress, heard } = rehearsing;
  const text = await read(rehearsing);
  const { playbook, fixture, blue } = text;
  const folder = await mkdtemp(join(tmpdir(), 'cutover-rehearsal-'));
  // The account of a server must be able to walk in.
  await chmod(folder, 0o711);
  progress(`setting up the stage: fixture ${basename(fixture.folder)} at scale ${fixture.scale}`);
  const stage = await Stage.open({
    folder,
    names: namesOf(playbook, blue),
    across: playbook.greenUrl !== undefined,
    server: rehearsing.server,
    majors: rehearsing.majors,
    fixture,
  }).catch(async (error: unknown) => {
    await rm(folder, { recursive: true, force: true });
    throw error;
  });
  try {
    signal.throwIfAborted();
    const open = (name: string): Promise<Take> =>
      Take.open(takeOptions(rehearsing, text, stage, join(folder, name)));
    const follows = playbook.sync.method === 'logical';
    const rehearsal = await perform(await open('take'), stage, text, follows, heard);
    const [run] = rehearsal.runs;
    const faults = run
      ? faultsOf(
          rehearsing.faults,
          run.plan.steps.map(({ id }) => id),
        )
      : [];
    const findings = [...rehearsal.findings];
    for (const fault of faults) {
      progress(`once more, with ${fault.kind} at ${fault.step}`);
      const finding = await performFault(
        await open(`${fault.kind}-${fault.step}`),
        stage,
        text,
        follows,
        fault,
      );
      progress(`${finding.severity === 'ok' ? '✔' : '✖'} ${finding.message}`);
      findings.push(finding);
    }
    return { ...rehearsal, findings };
  } finally {
    await stage.end();
  }
}

const takeOptions = (
  { clients, env, self, tools, signal }: Rehearsing,
  { playbook, raw, scheme, fixture }: Read,
  stage: Stage,
  folder: string,
): TakeOptions => ({
  stage,
  folder,
  playbook,
  raw,
  scheme,
  fixture,
  clients,
  variables: harmless(env.variables),
  drivers: {
    target: (name) => registries.targets[name],
    paths: (sort, name) => registries[sort][name]?.paths ?? [],
  },
  self,
  tools,
  signal,
});

/** Phases in which nothing of a run may be left. */
const OVER = new Set<RunState['phase']>(['refused', 'unwound', 'retired']);

/** Without what commands came to. */
interface Outcome {
  readonly runs: readonly RunState[];
  readonly acknowledged: number;
  readonly promises: readonly Finding[];
}

/** What became of the promises, when all commands are done and nobody writes any more. */
async function outcomeOf(
  take: Take,
  stage: Stage,
  { playbook }: Read,
  live: boolean,
  before: readonly string[],
  away: readonly Window[],
): Promise<Outcome> {
  const runs = await take.runs();
  const there = liveDatabase(runs.at(-1), stage);
  const problems = await take.ledger
    .problems((sql) => stage.ask(there.side, there.name, sql))
    .catch((error: unknown) => [`the live side cannot be asked: ${messageOf(error)}`]);
  const on = playbook.greenUrl === undefined ? '' : ` on ${there.side}'s server`;
  const { answered, errors } = take.clients;
  const { acknowledged } = take.ledger;
  const promises = promisesOf({
    live,
    answered,
    errors,
    acknowledged,
    problems,
    away,
    before: before.filter((line) => !line.startsWith('database ')),
    after: await stage.inventory(),
    expected: [`database ${there.name}${on}`],
    over: OVER.has(runs.at(-1)?.phase ?? 'refused'),
  });
  return { runs, acknowledged, promises };
}

async function perform(
  take: Take,
  stage: Stage,
  text: Read,
  follows: boolean,
  heard: Rehearsing['heard'],
): Promise<Rehearsal> {
  try {
    const before = await stage.inventory();
    await (follows ? live : closed)(take, heard);
    await take.clients.stop();
    const { told } = take.tool;
    const { runs, acknowledged, promises } = await outcomeOf(
      take,
      stage,
      text,
      follows,
      before,
      awayIn(told),
    );
    const held = heldOf(await take.events());
    const { answered, errors } = take.clients;
    const { folder, scale, seed } = text.fixture;
    return {
      playbook: text.playbook.name,
      live: follows,
      fixture: { folder, scale, seed },
      versions: stage.versions,
      told,
      runs,
      held,
      answered,
      errors,
      acknowledged,
      findings: [...told.map(commandFinding), ...heldFindings(follows, held, told, answered), ...promises],
      without: take.without,
    };
  } finally {
    await take.end();
  }
}

async function performFault(
  take: Take,
  stage: Stage,
  text: Read,
  follows: boolean,
  fault: Fault,
): Promise<Finding> {
  try {
    const before = await stage.inventory();
    take.clients.start();
    await take.settle();
    const from = performance.now();
    const struck = await strike(take, stage, fault, follows);
    take.clients.reading = false;
    const to = performance.now();
    await take.settle();
    await take.clients.stop();
    await tidy(take, struck.state);
    const { promises } = await outcomeOf(take, stage, text, follows, before, [{ from, to }]);
    return faultFinding(fault, struck, promises);
  } finally {
    await take.end();
  }
}
