import type { Estimate } from '../util/units.ts';
import type { LivePlan, PlannedStep } from '../core/plan.ts';
import type { Bake, Gate, Playbook } from '../core/playbook.ts';
import type { BakeInput, GateLimit } from '../core/step.ts';
import { formatDuration, plural } from '../util/units.ts';
import type { PlanParts } from './parts.ts';

const NOTHING = 'nothing to undo';

/** The steps of a run, in order. */
export function stepsOf(playbook: Playbook, parts: PlanParts): PlannedStep[] {
  return [
    step(
      'preflight',
      'preflight',
      'Check every condition before anything moves',
      ['reads catalogues, changes nothing'],
      NOTHING,
    ),
    ...(parts.live ? [publishStep(parts)] : [fenceStep(playbook, parts)]),
    cloneStep(parts),
    ...migrateSteps(parts),
    ...(parts.live ? [syncStep(parts)] : []),
    verifyStep(parts),
    ...(playbook.gate.mode === 'ask' ? [gateStep(playbook.gate)] : []),
    switchStep(parts),
    keepStep(parts),
    ...(playbook.bake ? [bakeStep(playbook.bake, parts)] : []),
  ];
}

function step(
  id: string,
  kind: PlannedStep['kind'],
  title: string,
  does: readonly string[],
  undo: string,
  more: { input?: unknown; estimate?: Estimate; ownership?: PlannedStep['ownership'] } = {},
): PlannedStep {
  return { id, kind, title, does, undo, ownership: 'keeps', input: {}, ...more };
}

const keepStep = ({ names, live }: PlanParts): PlannedStep =>
  live
    ? step(
        'keep',
        'keep',
        `Keep ${names.blue} of before as ${names.previous}: it follows ${names.green}, fenced, to swap back`,
        [
          'triggers that refuse every write but those of the subscription, and CONNECTION LIMIT 0',
          'the subscription of the way back is enabled; the one of the way there goes, with slot and publication',
        ],
        NOTHING,
      )
    : step(
        'keep',
        'keep',
        `Keep ${names.blue} of before as ${names.previous}, closed, to swap back`,
        ['asks the server and every target whether all is as it should be'],
        NOTHING,
      );

function bakeStep(bake: Bake, { bakes, names, live }: PlanParts): PlannedStep {
  const { checks: _checks, ...rest } = bake;
  const input: BakeInput = rest;
  const back = `swaps back to ${names.blue} by itself${live ? '' : ', unless something was written since the switch'}`;
  const { every, failures, onFailure } = bake;
  return step(
    'bake',
    'bake',
    `Look after ${names.green} for ${formatDuration(bake.for)}`,
    [
      ...bakes.flatMap(({ use, does }) => does.map((line) => `${use.driver}: ${line}`)),
      `every ${formatDuration(every)}; a check that fails ${plural(failures, 'time')} in a row ${
        onFailure === 'hold' ? 'ends the run with green live, and exit code 7' : back
      }`,
    ],
    NOTHING,
    { input, estimate: { ms: bake.for, basis: 'as the playbook says' } },
  );
}

const publishStep = ({ follows, names }: PlanParts): PlannedStep =>
  step(
    'publish',
    'publish',
    `Make ${names.blue} ready to be followed`,
    follows?.publish ?? [],
    'all of it is taken away again',
  );

const syncStep = ({ follows, names }: PlanParts): PlannedStep =>
  step(
    'sync',
    'sync',
    `Let ${names.green} follow ${names.blue}, and catch up`,
    follows?.follow ?? [],
    'subscription, slot and publications are taken away',
  );

function fenceStep(playbook: Playbook, { names, close }: PlanParts): PlannedStep {
  const { wait, then } = playbook.switch.longTransactions;
  const waits = `open transactions have ${formatDuration(wait)} to finish, then ${
    then === 'refuse' ? 'the run gives up' : 'they are ended'
  }`;
  return step(
    'fence',
    'fence',
    `Close ${names.blue} to everybody: no reads and no writes until the switch`,
    [...close.blue, waits],
    `ALLOW_CONNECTIONS true`,
    {
      estimate: { ms: 200, basis: 'when no transaction is open' },
    },
  );
}

function cloneStep({ clone, names, live, follows }: PlanParts): PlannedStep {
  const before =
    live === undefined
      ? []
      : live.clone.method === 'dump'
        ? [`CREATE_REPLICATION_SLOT … EXPORT_SNAPSHOT: nobody is held`]
        : [
            `clients are held or, where no target can hold them, disconnected: about ${formatDuration(clone.estimate.ms)}, at most ${formatDuration(live.clone.pause)}`,
            ...(follows?.capture ?? []),
          ];
  const after = live?.clone.method === 'dump' ? ['pg_dump --snapshot=… | pg_restore'] : [];
  return step(
    'clone',
    'clone',
    `Clone ${names.blue} to ${names.green}`,
    [...before, ...clone.does, ...after, `this way because: ${clone.reason}`],
    `DROP DATABASE ${names.green}, if it carries this run's mark`,
    {
      input: clone.plan,
      estimate: clone.estimate,
    },
  );
}

const migrateSteps = ({ migrators, names }: PlanParts): PlannedStep[] =>
  migrators.map(({ use, does, files }, index) =>
    step(
      `migrate-${index + 1}-${use.driver}`,
      'migrate',
      `Migrate ${names.green} with ${use.driver}`,
      does,
      'goes with the copy',
      {
        input: { index, files },
      },
    ),
  );

// Checksums of every row, computed on both sides at once: measured at four to twenty times count(*).
const VERIFY_BYTES_PER_MS = 100_000;

function verifyStep({ checks, close, names, facts, live }: PlanParts): PlannedStep {
  const does = [
    ...checks.flatMap(({ use, does }) => does.map((line) => `${use.driver}: ${line}`)),
    ...(live
      ? ['both sides as of one moment: writers wait for some milliseconds (LOCK TABLE … IN SHARE MODE)']
      : close.green),
  ];
  return step('verify', 'verify', `Verify ${names.green} against ${names.blue}`, does, NOTHING, {
    estimate: {
      ms: Math.round(100 + facts.blue.bytes / VERIFY_BYTES_PER_MS),
      basis: 'every row of both sides is read',
    },
  });
}

function gateStep({ timeout, otherwise, url }: Gate): PlannedStep {
  const limit =
    timeout === undefined
      ? []
      : [`after ${formatDuration(timeout)} without an answer: ${otherwise === 'go' ? 'yes' : 'no'}`];
  const input: GateLimit = {
    otherwise,
    ...(timeout === undefined ? {} : { timeout }),
    ...(url && { url }),
  };
  return step(
    'gate',
    'gate',
    'Wait for a yes before the switch',
    [
      url
        ? `GET ${url.address}, every ${formatDuration(url.every)}: 2xx is a yes; besides, people may answer`
        : 'asks at the terminal; --yes answers beforehand, cutover approve and reject from another terminal',
      ...limit,
    ],
    NOTHING,
    { input },
  );
}

function switchStep({ targets, names, live }: PlanParts): PlannedStep {
  if (live) return liveSwitchStep({ targets, names }, live);
  return step(
    'switch',
    'switch',
    `Switch: ${names.green} becomes live`,
    [...targets.flatMap(({ does }) => does), `open the new side; ${names.blue} of before stays closed`],
    targets.map(({ undo }) => undo).join('; '),
    { ownership: 'moves', estimate: { ms: 100, basis: 'both sides are closed already' } },
  );
}

function liveSwitchStep(
  { targets, names }: Pick<PlanParts, 'targets' | 'names'>,
  { pause }: LivePlan,
): PlannedStep {
  return step(
    'switch',
    'switch',
    `Switch: ${names.green} becomes live`,
    [
      `beforehand: publication and slot of the way back on ${names.green}, its subscription on ${names.blue}, still off`,
      `clients are held for at most ${formatDuration(pause.budget)}; otherwise all is put back, and tried again after ${formatDuration(pause.wait)}, ${pause.retries} times`,
      `ALTER DATABASE ${names.blue} ALLOW_CONNECTIONS false, and its last sessions end`,
      `a marker of ${names.blue} arrives on ${names.green}; sequences are set; the way back begins behind it`,
      ...targets.flatMap(({ does }) => does),
      'open the new side',
    ],
    targets.map(({ undo }) => undo).join('; '),
    { ownership: 'moves', estimate: { ms: 50, basis: 'measured with PgBouncer on a small machine' } },
  );
}
