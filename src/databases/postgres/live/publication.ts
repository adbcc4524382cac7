import type { FollowedTable } from '../../../core/live.ts';
import { quoteIdentifier, quoteLiteral, quotePath } from '../../../util/sql.ts';
import type { Connection } from '../connection.ts';
import { MARKER, OWN_SCHEMA, schemaComment } from './names.ts';
import { published } from './tables.ts';

/** What is made on the side that is followed, in one transaction: the marker table and the publication. */
export function publishStatements(run: string, name: string, tables: readonly FollowedTable[]): string[] {
  return [
    `CREATE SCHEMA IF NOT EXISTS ${OWN_SCHEMA}`,
    `COMMENT ON SCHEMA ${OWN_SCHEMA} IS ${quoteLiteral(schemaComment(run))}`,
    `CREATE TABLE IF NOT EXISTS ${MARKER} (side text PRIMARY KEY, tick bigint NOT NULL)`,
    `INSERT INTO ${MARKER} VALUES ('blue', 0), ('green', 0) ON CONFLICT DO NOTHING`,
    ...tables
      .filter(({ identity }) => identity !== undefined)
      .map(({ path }) => `ALTER TABLE ${quotePath(path)} REPLICA IDENTITY FULL`),
    ...publicationStatements(name, tables),
  ];
}

export const publicationStatements = (name: string, tables: readonly FollowedTable[]): string[] => [
  `DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`,
  `CREATE PUBLICATION ${quoteIdentifier(name)} FOR TABLE ${[MARKER, ...tables.map(published)].join(', ')}`,
];

export async function isPublished(connection: Connection, name: string): Promise<boolean> {
  const rows = await connection.query('select from pg_publication where pubname = $1', [name]);
  return rows.length > 0;
}

/** All of it in one transaction, or nothing. */
export async function inOne(connection: Connection, statements: readonly string[]): Promise<void> {
  if (statements.length > 0)
    await connection.query(`BEGIN; ${statements.join('; ')}; COMMIT`).catch(rollback);
  async function rollback(error: unknown): Promise<never> {
    if (!connection.lost) await connection.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
