import type { Names, PlannedClone } from '../core/database.ts';
import type { Facts } from '../core/facts.ts';
import type { DriverUse } from '../core/driver.ts';
import type { Estimate } from '../util/units.ts';
import type { Finding } from '../core/check.ts';
import type { MigrationFile } from '../core/migrator.ts';
import type { Plan, PlannedStep } from '../core/plan.ts';
import type { Gate, Playbook } from '../core/playbook.ts';
import type { GateLimit } from '../core/step.ts';
import { formatDuration } from '../util/units.ts';
import { fingerprintOf } from './fingerprint.ts';
import { withHooks } from './hooks.ts';

/** What drivers say of themselves, gathered before the plan is built. */
export interface PlanParts {
  readonly run: string;
  readonly createdAt: string;
  readonly facts: Facts;
  readonly names: Names;
  readonly findings: readonly Finding[];
  readonly clone: PlannedClone;
  readonly close: { readonly blue: readonly string[]; readonly green: readonly string[] };
  readonly migrators: readonly {
    readonly use: DriverUse;
    readonly does: readonly string[];
    readonly files: readonly MigrationFile[];
  }[];
  readonly checks: readonly { readonly use: DriverUse; readonly does: readonly string[] }[];
  readonly targets: readonly {
    readonly use: DriverUse;
    readonly does: readonly string[];
    readonly undo: string;
  }[];
}

/** Names of the databases of a run. Without a rename blue keeps its name. */
export function namesOf(playbook: Playbook, blue: string): Names {
  const rename = renameOf(playbook);
  return {
    blue,
    green: playbook.green ?? `${blue}_green`,
    previous: rename ? ((rename.options['previous'] as string | undefined) ?? `${blue}_previous`) : blue,
  };
}

export const renameOf = (playbook: Playbook): DriverUse | undefined =>
  playbook.switch.targets.find(({ driver }) => driver === 'database-rename');

/** Playbook and facts give the plan. Pure. */
export function buildPlan(playbook: Playbook, parts: PlanParts): Plan {
  const { facts, names } = parts;
  return {
    format: 1,
    name: playbook.name,
    createdAt: parts.createdAt,
    run: parts.run,
    playbook: { file: playbook.file, folder: playbook.folder, sha256: playbook.sha256 },
    source: playbook.blue,
    server: { version: facts.server.version, identifier: facts.server.identifier },
    blue: {
      oid: facts.blue.oid,
      bytes: facts.blue.bytes,
      tables: facts.blue.tables,
      estimatedRows: facts.blue.estimatedRows,
      comment: facts.blue.comment,
      fingerprint: facts.blue.fingerprint,
    },
    names,
    renames: renameOf(playbook) !== undefined,
    expect: playbook.expect,
    longTransactions: playbook.switch.longTransactions,
    retries: playbook.retries,
    limits: playbook.limits,
    migrate: playbook.migrate,
    verify: playbook.verify,
    targets: playbook.switch.targets,
    steps: withHooks(stepsOf(playbook, parts), playbook.hooks),
    findings: parts.findings,
    fingerprint: fingerprintOf({
      playbook: playbook.sha256,
      migrations: parts.migrators.map(({ files }) => files.map(({ sha256 }) => sha256)),
      schema: facts.blue.fingerprint,
    }),
  };
}

const NOTHING = 'nothing to undo';

function stepsOf(playbook: Playbook, parts: PlanParts): PlannedStep[] {
  return [
    step(
      'preflight',
      'preflight',
      'Check every condition before anything moves',
      ['reads catalogues, changes nothing'],
      NOTHING,
    ),
    fenceStep(playbook, parts),
    cloneStep(parts),
    ...migrateSteps(parts),
    verifyStep(parts),
    ...(playbook.gate.mode === 'ask' ? [gateStep(playbook.gate)] : []),
    switchStep(parts),
    step(
      'keep',
      'keep',
      `Keep ${parts.names.blue} of before as ${parts.names.previous}, closed, to swap back`,
      ['asks the server and every target whether all is as it should be'],
      NOTHING,
    ),
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

function cloneStep({ clone, names }: PlanParts): PlannedStep {
  return step(
    'clone',
    'clone',
    `Clone ${names.blue} to ${names.green}`,
    [...clone.does, `this way because: ${clone.reason}`],
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

function verifyStep({ checks, close, names, facts }: PlanParts): PlannedStep {
  const does = [
    ...checks.flatMap(({ use, does }) => does.map((line) => `${use.driver}: ${line}`)),
    ...close.green,
  ];
  return step('verify', 'verify', `Verify ${names.green} against ${names.blue}`, does, NOTHING, {
    estimate: {
      ms: Math.round(100 + facts.blue.bytes / VERIFY_BYTES_PER_MS),
      basis: 'every row of both sides is read',
    },
  });
}

function gateStep({ timeout, otherwise }: Gate): PlannedStep {
  const limit =
    timeout === undefined
      ? []
      : [`after ${formatDuration(timeout)} without an answer: ${otherwise === 'go' ? 'yes' : 'no'}`];
  const input: GateLimit = { otherwise, ...(timeout === undefined ? {} : { timeout }) };
  return step(
    'gate',
    'gate',
    'Wait for a yes before the switch',
    [
      'asks at the terminal; --yes answers beforehand, cutover approve and reject from another terminal',
      ...limit,
    ],
    NOTHING,
    { input },
  );
}

function switchStep({ targets, names }: PlanParts): PlannedStep {
  return step(
    'switch',
    'switch',
    `Switch: ${names.green} becomes live`,
    [...targets.flatMap(({ does }) => does), `open the new side; ${names.blue} of before stays closed`],
    targets.map(({ undo }) => undo).join('; '),
    { ownership: 'moves', estimate: { ms: 100, basis: 'both sides are closed already' } },
  );
}
