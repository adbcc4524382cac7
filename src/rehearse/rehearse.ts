import type { Finding } from '../core/drivers/check.ts';
import { messageOf } from '../core/errors.ts';
import type { Fixture } from '../databases/postgres/fixture/describe.ts';
import type { RunState } from '../journal/fold.ts';
import type { Measured } from '../plan/predict.ts';
import { measuredOf } from '../run/measured.ts';
import type { Answered, ClientError } from './clients/clients.ts';
import { faultFinding } from './faults/finding.ts';
import { strike, tidy } from './faults/strike.ts';
import { faultsOf, nameOf, plantedBy, type Fault, type FaultWish } from './faults/wish.ts';
import { deviations, measureRun } from './measure.ts';
import { read, type Read, type Reading } from './read.ts';
import { onStage, type Setting } from './setting.ts';
import { neverFull } from './stage/disk.ts';
import type { Stage } from './stage/stage.ts';
import { closed, live } from './story.ts';
import { liveDatabase, type Take } from './take.ts';
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

export interface Rehearsing extends Omit<Reading, 'scale'>, Setting {
  /** How large the fixture is made; of the second and further ones only how long steps take is measured. */
  readonly scales: readonly number[];
  /** What is to go wrong, besides; each in a performance of its own. */
  readonly faults: readonly FaultWish[];
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
  /** How long steps took, at every scale. */
  readonly measured: readonly Measured[];
  readonly findings: readonly Finding[];
  /** What of the playbook was not rehearsed, a line each. */
  readonly without: readonly string[];
}

/** Performs a playbook on a stage, with clients at work: there and back and there again. Nothing real is reached. */
export async function rehearse(rehearsing: Rehearsing): Promise<Rehearsal> {
  const { progress, heard, scales } = rehearsing;
  const text = await read({ ...rehearsing, scale: scales[0] });
  const follows = text.playbook.sync.method === 'logical';
  const rehearsal = await onStage(rehearsing, text, async (stage, open) => {
    const first = await perform(await open('take'), stage, text, follows, heard);
    const [run] = first.runs;
    const faults = run
      ? faultsOf(
          rehearsing.faults,
          run.plan.steps.map(({ id }) => id),
        )
      : [];
    const findings = [...first.findings];
    for (const fault of faults) {
      progress(`once more, with ${nameOf(fault)}`);
      const finding = await performFault(
        await open(nameOf(fault), plantedBy(fault)),
        stage,
        text,
        follows,
        fault,
      );
      progress(`${finding.severity === 'ok' ? '✔' : '✖'} ${finding.message}`);
      findings.push(finding);
    }
    return { ...first, findings };
  });
  const sizes = [rehearsal.runs.map(measuredOf)];
  for (const scale of scales.slice(1)) {
    const larger = { ...text, fixture: { ...text.fixture, scale } };
    sizes.push(
      await onStage(rehearsing, larger, async (_stage, open) =>
        measureRun(await open('take'), heard, follows),
      ),
    );
  }
  return {
    ...rehearsal,
    measured: sizes.flat(),
    findings: [...rehearsal.findings, ...deviations(sizes)],
  };
}

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
  how: Pick<Parameters<typeof promisesOf>[0], 'live' | 'down'>,
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
    ...how,
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
  return { runs, acknowledged, promises: [...promises, ...take.work.anew()] };
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
      { live: follows, down: false },
      before,
      awayIn(told, await take.runs()),
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
      measured: [],
      findings: [
        ...told.map(commandFinding),
        ...heldFindings(follows, held, told, answered),
        ...promises,
        ...take.work.done(),
      ],
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
    const why = fault.kind === 'full' ? await neverFull(stage) : undefined;
    if (why !== undefined)
      return { check: nameOf(fault), severity: 'note', message: `it was not staged: ${why}` };
    const before = await stage.inventory();
    take.clients.start();
    await take.settle();
    const from = performance.now();
    const struck = await strike(take, stage, fault, follows);
    take.clients.reading = false;
    const over = performance.now();
    await take.settle();
    // Who had nothing to do when the server crashed hears of it at the next transaction.
    const to = fault.kind === 'crash' ? performance.now() : over;
    await take.clients.stop();
    await tidy(take, struck.state);
    const how = { live: follows, down: fault.kind === 'crash' };
    const { promises } = await outcomeOf(take, stage, text, how, before, struck.away ?? [{ from, to }]);
    return faultFinding(fault, struck, promises);
  } finally {
    await take.end();
  }
}
