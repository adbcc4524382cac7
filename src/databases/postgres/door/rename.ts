import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, StepError } from '../../../core/errors.ts';
import { quoteIdentifier } from '../../../util/sql.ts';
import type { Connection } from '../connection.ts';
import { describeSession } from './fence.ts';
import { readSessions } from '../facts/facts.ts';

export interface Move {
  readonly oid: number;
  readonly from: string;
  readonly to: string;
}

const ATTEMPTS = 5;

const renameStatement = (move: { from: string; to: string }): string =>
  `ALTER DATABASE ${quoteIdentifier(move.from)} RENAME TO ${quoteIdentifier(move.to)}`;

/** What the rename will execute, for the plan. */
export const planRename = (moves: readonly { from: string; to: string }[]): string[] => [
  'BEGIN',
  ...moves.map(renameStatement),
  'COMMIT',
];

/**
 * Renames all databases in one transaction: all or none, whatever dies meanwhile. The databases must be closed;
 * what still lingers in them is ended first, because a rename waits five seconds for it and then gives up.
 */
export async function renameTogether(admin: Connection, moves: readonly Move[]): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    await endLingering(admin, moves);
    try {
      await admin.query('BEGIN');
      await assertNames(admin, moves);
      for (const move of moves) await admin.query(renameStatement(move));
      await admin.query('COMMIT');
      return;
    } catch (cause) {
      if (!admin.lost) await admin.query('ROLLBACK').catch(() => undefined);
      if (codeOf(cause) === '55006' && attempt < ATTEMPTS) continue;
      throw await explain(admin, moves, cause);
    }
  }
}

// Compare-and-set: the object ids are what the run knows, the names must be what it expects.
async function assertNames(admin: Connection, moves: readonly Move[]): Promise<void> {
  for (const move of moves) {
    const [row] = await admin.query<{ name: string }>(
      'select datname as name from pg_database where oid = $1',
      [move.oid],
    );
    if (row?.name === move.from) continue;
    throw new StepError(
      row
        ? `expected database ${move.from}, found it renamed to ${row.name}`
        : `database ${move.from} is not there any more`,
      { hint: 'somebody changed names while the run was going on; nothing was renamed' },
    );
  }
}

async function endLingering(admin: Connection, moves: readonly Move[]): Promise<void> {
  for (const move of moves) {
    for (let polls = 0; polls < 100; polls += 1) {
      const sessions = await readSessions(admin, move.oid, []);
      if (sessions.length === 0) break;
      for (const session of sessions) {
        await admin.query('select pg_terminate_backend($1)', [session.pid]).catch(() => undefined);
      }
      await sleep(10);
    }
  }
}

async function explain(admin: Connection, moves: readonly Move[], cause: unknown): Promise<unknown> {
  const code = codeOf(cause);
  if (code === '42P04') {
    return new StepError(
      `a name that the rename needs is taken: ${moves.map((move) => move.to).join(', ')}`,
      {
        cause,
        hint: 'drop or rename the database of that name, then run again',
      },
    );
  }
  if (code !== '55006' || admin.lost) return cause;
  const lists = await Promise.all(moves.map((move) => readSessions(admin, move.oid, [])));
  return new StepError(
    'the rename found sessions that come back faster than they can be ended, or prepared transactions',
    {
      cause,
      detail: lists
        .flat()
        .map((session) => `  ${describeSession(session)}`)
        .join('\n'),
    },
  );
}
