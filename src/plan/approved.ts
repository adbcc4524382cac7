import { basename, dirname, relative } from 'node:path';
import type { Approved } from '../core/approval.ts';
import type { MigrationFile } from '../core/drivers/migrator.ts';
import type { Plan } from '../core/plan.ts';
import type { Playbook } from '../core/playbook.ts';
import { redact } from '../util/redact.ts';
import { plural } from '../util/units.ts';
import { version } from '../util/version.ts';
import { fingerprintOf } from './fingerprint.ts';

/** Who is connected is another matter every minute: nobody can approve of it days before. */
const PASSING: ReadonlySet<string> = new Set(['sessions']);

/** What the preflight warns of that an approval is about. */
export const warningsOf = ({ findings }: Pick<Plan, 'findings'>): string[] =>
  findings.flatMap(({ check, severity, message }) =>
    severity === 'warning' && !PASSING.has(check) ? [redact(`${check}: ${message}`)] : [],
  );

/** Whether a run that nobody watches needs an approval. */
export const needsApproval = (plan: Pick<Plan, 'findings' | 'approval'>): boolean =>
  plan.approval === 'required' || (plan.approval === 'on-warnings' && warningsOf(plan).length > 0);

/** What somebody who approves of this plan approves of. */
export function approvedOf(plan: Plan, playbook: Playbook, objects: Approved['schema']['objects']): Approved {
  const { folder } = playbook;
  return {
    playbook: playbook.sha256,
    settings: settingsOf(playbook),
    migrations: Object.fromEntries(
      plan.steps
        .filter(({ kind }) => kind === 'migrate')
        .flatMap(({ input }) => {
          const { index, files } = input as { index: number; files: readonly MigrationFile[] };
          return files.map(({ path, sha256 }) => [`${index + 1} ${relative(folder, path)}`, sha256]);
        }),
    ),
    schema: { fingerprint: plan.blue.fingerprint, objects },
    places: {
      "blue's server": plan.server.identifier,
      'the database blue': plan.names.blue,
      'the database green': plan.names.green,
      ...(plan.live?.green && { "green's server": plan.live.green.identifier }),
    },
    version: version(),
    warnings: warningsOf(plan),
  };
}

/** References are resolved by now, but for those to secrets: the same text may mean something else. */
function settingsOf(playbook: Playbook): Record<string, string> {
  const { clone, sync, migrate, verify, expect, gate, hooks, retries, limits } = playbook;
  const { targets, ...rest } = playbook.switch;
  const parts = { clone, sync, migrate, verify, expect, gate, hooks, retries, limits, targets, switch: rest };
  return Object.fromEntries(
    Object.entries(parts).map(([key, value]) => [key, fingerprintOf(portable(value, playbook.folder))]),
  );
}

/** The same wherever the playbook's folder lies, and however the playbook was named on the command line. */
function portable(value: unknown, folder: string): unknown {
  const above = dirname(folder);
  if (typeof value === 'string')
    return value === above || value.startsWith(above.endsWith('/') ? above : `${above}/`)
      ? relative(folder, value)
      : value;
  if (Array.isArray(value)) return value.map((entry) => portable(entry, folder));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, entry]) => (key === 'at' ? [] : [[key, portable(entry, folder)]])),
  );
}

interface Difference {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly gone: readonly string[];
}

function differenceOf(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): Difference {
  const has = (record: typeof now, key: string): boolean => Object.hasOwn(record, key);
  return {
    added: Object.keys(now).filter((key) => !has(before, key)),
    changed: Object.keys(now).filter((key) => has(before, key) && before[key] !== now[key]),
    gone: Object.keys(before).filter((key) => !has(now, key)),
  };
}

/** What is not as it was approved, a line each; empty when nothing has changed. */
export function changesSince(before: Approved, now: Approved): string[] {
  const text = before.playbook !== now.playbook;
  const places = differenceOf(before.places, now.places);
  return [
    ...(text ? ['playbook: the file was changed'] : []),
    // Of a text that was changed this says nothing new.
    ...(text ? [] : settingChanges(before, now)),
    ...migrationChanges(before, now),
    ...schemaChanges(before.schema, now.schema),
    ...[...places.added, ...places.changed, ...places.gone].map((place) => `${place}: is another one`),
    ...(before.version === now.version
      ? []
      : [`cutover: this is version ${now.version}, and the plan was made by ${before.version}`]),
    ...now.warnings
      .filter((warning) => !before.warnings.includes(warning))
      .map((warning) => `new warning: ${warning}`),
  ];
}

function settingChanges(before: Approved, now: Approved): string[] {
  const { added, changed, gone } = differenceOf(before.settings, now.settings);
  return [...added, ...changed, ...gone].map(
    (key) => `${key}: what a reference there stands for was changed, or a default`,
  );
}

/** A migration's key begins with the place of its migrator. */
const fileOf = (key: string): string => basename(key.replace(/^\d+ /, ''));

function migrationChanges(before: Approved, now: Approved): string[] {
  const { added, changed, gone } = differenceOf(before.migrations, now.migrations);
  const words = [
    ...added.map((key) => `${fileOf(key)} is new`),
    ...changed.map((key) => `${fileOf(key)} was changed`),
    ...gone.map((key) => `${fileOf(key)} is gone`),
  ];
  return words.length === 0 ? [] : [`migrations: ${words.join('; ')}`];
}

function schemaChanges(before: Approved['schema'], now: Approved['schema']): string[] {
  if (before.fingerprint === now.fingerprint) return [];
  const { added, changed, gone } = differenceOf(before.objects, now.objects);
  const all = [...changed, ...added, ...gone];
  if (all.length === 0) return ["blue's schema: it was changed"];
  return [`blue's schema: ${plural(all.length, 'object')} changed, e.g. ${all[0]}`];
}
