import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../../../../core/errors.ts';
import type { FollowedTable } from '../../../../core/database/live.ts';
import { quoteIdentifier, quoteLiteral, quotePath } from '../../../../util/sql.ts';
import type { Connection } from '../../connection.ts';
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

const BRIEF_MS = 200;
const BETWEEN_MS = 300;
const TRIES = 40;

/**
 * The same on tables that clients use: whoever comes after us waits behind us, so each try waits for a moment only, and
 * gives way before the next.
 */
export async function inOneBriefly(connection: Connection, statements: readonly string[]): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await inOne(connection, [`SET LOCAL lock_timeout = ${BRIEF_MS}`, ...statements]);
      return;
    } catch (error) {
      if (codeOf(error) !== '55P03' || tries === TRIES) throw error;
      await sleep(BETWEEN_MS);
    }
  }
}

/** All of it in one transaction, or nothing. */
export async function inOne(connection: Connection, statements: readonly string[]): Promise<void> {
  if (statements.length > 0)
    await connection.query(`BEGIN; ${statements.join('; ')}; COMMIT`).catch(rollback);
  async function rollback(error: unknown): Promise<never> {
    // What failed is what counts; a connection that cannot roll back is lost, and its transaction with it.
    if (!connection.lost) await connection.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
