import { StepError } from '../../core/errors.ts';
import type { SqlSession } from '../../core/drivers/migrator.ts';
import { displayPath, parsePath, quoteLiteral, quotePath } from '../../util/sql.ts';
import { messageWithCode, sqlStateOf } from './errors.ts';

/** `started` and `failed` are only left behind by files that run without a transaction. */
export type RowStatus = 'started' | 'applied' | 'failed' | 'rolled back';

export interface VersionRow {
  readonly version: string;
  readonly description: string;
  readonly checksum: string;
  readonly appliedAt: string;
  readonly ms: number;
  readonly status: RowStatus;
}

/** Where the versions are kept: its name for SQL and for people. */
export interface VersionTable {
  readonly schema: string;
  readonly name: string;
  readonly quoted: string;
  readonly display: string;
}

/** Reads the `table` option: `name` in schema public, or `schema.name`; undefined for anything else. */
export function versionTable(option: string): VersionTable | undefined {
  const parts = parsePath(option);
  if (!parts || parts.length > 2) return undefined;
  const [schema, name] = parts.length === 1 ? ['public', parts[0]!] : [parts[0]!, parts[1]!];
  return { schema, name, quoted: quotePath([schema, name]), display: displayPath([schema, name]) };
}

const UTC = `at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;

/** All rows; none when the table is not there. Writes nothing. */
export async function readVersions(session: SqlSession, table: VersionTable): Promise<VersionRow[]> {
  const [there] = await session.query(
    `select 1 as there from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = $1 and c.relname = $2`,
    [table.schema, table.name],
  );
  if (!there) return [];
  try {
    const rows = await session.query<Record<string, string>>(
      `select version, description, checksum, pg_catalog.to_char(applied_at ${UTC}) as applied_at,
              duration_ms::text as duration_ms, status from ${table.quoted}`,
    );
    return rows.map((row) => ({
      version: row['version']!,
      description: row['description']!,
      checksum: row['checksum']!,
      appliedAt: row['applied_at']!,
      ms: Number(row['duration_ms']),
      status: row['status'] as RowStatus,
    }));
  } catch (error) {
    throw unusable(table, 'read', error);
  }
}

export async function createVersionTable(session: SqlSession, table: VersionTable): Promise<void> {
  try {
    await session.query(`create table if not exists ${table.quoted} (
  version text primary key,
  description text not null,
  checksum text not null,
  applied_at timestamptz not null,
  duration_ms bigint not null,
  status text not null check (status in ('started', 'applied', 'failed', 'rolled back')),
  rolled_back_at timestamptz
)`);
  } catch (error) {
    throw unusable(table, 'made', error);
  }
}

function unusable(table: VersionTable, verb: string, error: unknown): StepError {
  const hints: Record<string, string> = {
    '42703': `${table.display} is a table of something else: give another name in the option "table"`,
    '3F000': `make the schema first, or give another name in the option "table"`,
    '42501': `the role needs rights on ${table.display} and its schema`,
  };
  return new StepError(`the version table ${table.display} cannot be ${verb}: ${messageWithCode(error)}`, {
    hint: hints[sqlStateOf(error) ?? ''],
    cause: error,
  });
}

/** Writes a version's row, in the transaction of its file if there is one. */
export async function recordVersion(
  session: SqlSession,
  table: VersionTable,
  row: Pick<VersionRow, 'version' | 'description' | 'checksum' | 'status' | 'ms'>,
): Promise<void> {
  await session.query(
    `insert into ${table.quoted} (version, description, checksum, applied_at, duration_ms, status)
     values ($1, $2, $3, pg_catalog.clock_timestamp(), $4, $5)
     on conflict (version) do update
     set description = excluded.description, checksum = excluded.checksum, applied_at = excluded.applied_at,
         duration_ms = excluded.duration_ms, status = excluded.status, rolled_back_at = null`,
    [row.version, row.description, row.checksum, Math.round(row.ms), row.status],
  );
}

/** Changes a version's status on its way back; the time of the way back is kept with it. */
export async function recordStatus(
  session: SqlSession,
  table: VersionTable,
  version: string,
  status: RowStatus,
): Promise<void> {
  await session.query(
    `update ${table.quoted} set status = $2,
            rolled_back_at = case when $2 = 'rolled back' then pg_catalog.clock_timestamp() end
      where version = $1`,
    [version, status],
  );
}

/** What a person types after having looked at a version that was left halfway. */
export const settle = (table: VersionTable, version: string): string =>
  [
    `if it is complete: update ${table.display} set status = 'applied' where version = ${quoteLiteral(version)};`,
    `if nothing of it is there: delete from ${table.display} where version = ${quoteLiteral(version)};`,
  ].join('\n');
