import type { MigrationStatus } from '../../core/drivers/migrator.ts';
import type { Migration } from './files.ts';
import type { Mistake } from './mistakes.ts';
import { settle, type VersionRow, type VersionTable } from './version-table.ts';
import { compareVersions } from './version.ts';

/** A version as the folder and the table know it; one of the two may be missing. */
export interface Entry {
  readonly version: string;
  readonly migration: Migration | undefined;
  readonly row: VersionRow | undefined;
}

/** Files and rows brought together, by version. */
export function compare(migrations: readonly Migration[], rows: readonly VersionRow[]): Entry[] {
  const known = migrations.map((migration) => {
    const row = rows.find((candidate) => compareVersions(candidate.version, migration.version) === 0);
    // The table's way of writing the version counts: a file renamed from V1 to V001 is still the same version.
    return { version: row?.version ?? migration.version, migration, row };
  });
  const orphans = rows
    .filter((row) => !known.some((entry) => entry.row === row))
    .map((row) => ({ version: row.version, migration: undefined, row }));
  return [...known, ...orphans].toSorted((a, b) => compareVersions(a.version, b.version));
}

export const isApplied = ({ row }: Entry): boolean => row?.status === 'applied';

/** What `apply` would run, in order: new versions, and those that were rolled back. */
export const pendingOf = (entries: readonly Entry[]): (Entry & { migration: Migration })[] =>
  entries.flatMap(({ version, migration, row }) =>
    migration && (row === undefined || row.status === 'rolled back') ? [{ version, migration, row }] : [],
  );

function stateOf({ migration, row }: Entry): MigrationStatus['state'] {
  switch (row?.status) {
    case undefined:
      return 'pending';
    case 'rolled back':
      return 'rolled-back';
    case 'started':
    case 'failed':
      return 'failed';
    case 'applied':
      if (!migration) return 'missing';
      return migration.up.sha256 === row.checksum ? 'applied' : 'changed';
    default:
      throw new TypeError(`the version table has an unknown status: ${String(row?.status)}`);
  }
}

export function statusOf(entry: Entry): MigrationStatus {
  const { version, migration, row } = entry;
  return {
    version,
    description: migration?.description ?? row?.description ?? '',
    state: stateOf(entry),
    ...(migration && { file: migration.up.path }),
    ...(row && { appliedAt: row.appliedAt, ms: row.ms }),
  };
}

/** Why the folder and the table do not belong together, if they do not; `outOfOrder` counts only on the way up. */
export function contradictions(
  entries: readonly Entry[],
  table: VersionTable,
  directory: string,
  direction: 'up' | 'down',
): Mistake[] {
  const highest = entries.findLast(isApplied);
  return entries.flatMap((entry) => {
    const path = entry.migration?.up.path ?? directory;
    const name = entry.migration?.up.name ?? `version ${entry.version}`;
    const wrong =
      contradiction(entry, table) ?? (direction === 'up' ? outOfOrder(entry, highest) : undefined);
    return wrong ? [{ path, name, ...wrong }] : [];
  });
}

type Wrong = Pick<Mistake, 'message' | 'hint'>;

function contradiction(entry: Entry, table: VersionTable): Wrong | undefined {
  const { version, migration, row } = entry;
  const state = stateOf(entry);
  if (state === 'failed') {
    return {
      message: `version ${version} was begun and not finished (${row?.status ?? ''} in ${table.display})`,
      hint: `look which of its statements took effect, then settle it.\n${settle(table, version)}`,
    };
  }
  if (state === 'missing') {
    return {
      message: `"${row?.description ?? ''}" is applied, and its file is not in the folder`,
      hint: `bring the file back: ${table.display} says that this database has it`,
    };
  }
  if (state !== 'changed') return undefined;
  const checksums = [row?.checksum, migration?.up.sha256].map((sum) => sum?.slice(0, 12) ?? '');
  return {
    message:
      `version ${version} was changed after it had been applied ` +
      `(checksum ${checksums[0]} applied, ${checksums[1]} in the file)`,
    hint: 'put the file back as it was, and write the change as a new version',
  };
}

function outOfOrder({ version, migration, row }: Entry, highest: Entry | undefined): Wrong | undefined {
  const pending = migration && row?.status !== 'applied';
  if (!pending || !highest || compareVersions(version, highest.version) > 0) return undefined;
  return {
    message: `version ${version} is out of order: ${highest.version} is applied already`,
    hint: `rename it to a version above ${highest.version}, the one for its way back too`,
  };
}
