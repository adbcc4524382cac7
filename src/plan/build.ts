import type { Names } from '../core/database/database.ts';
import type { DriverUse } from '../core/drivers/driver.ts';
import type { Plan } from '../core/plan.ts';
import type { Playbook } from '../core/playbook.ts';
import { fingerprintOf } from './fingerprint.ts';
import { withHooks } from './hooks.ts';
import type { PlanParts } from './parts.ts';
import { stepsOf } from './steps.ts';

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
    live: parts.live,
    expect: playbook.expect,
    longTransactions: playbook.switch.longTransactions,
    onFailure: playbook.onFailure,
    retries: playbook.retries,
    limits: playbook.limits,
    approval: playbook.approval,
    migrate: playbook.migrate,
    verify: playbook.verify,
    targets: playbook.switch.targets,
    bake: playbook.bake?.checks ?? [],
    notify: playbook.notify,
    steps: withHooks(stepsOf(playbook, parts), playbook.hooks),
    findings: parts.findings,
    fingerprint: fingerprintOf({
      playbook: playbook.sha256,
      migrations: parts.migrators.map(({ files }) => files.map(({ sha256 }) => sha256)),
      schema: facts.blue.fingerprint,
    }),
  };
}
