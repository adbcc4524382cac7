import type { ClonePlan } from '../../../core/database/clone.ts';
import type { WorkControl } from '../../../core/work.ts';
import type { Setting } from '../../../core/database/facts.ts';
import type { Mark } from '../../../core/database/mark.ts';
import { codeOf, StepError } from '../../../core/errors.ts';
import { quoteIdentifier, quoteLiteral } from '../../../util/sql.ts';
import type { Address } from '../address.ts';
import { cancellable } from '../cancellable.ts';
import type { Connection } from '../connection.ts';
import { SETTINGS } from '../facts/queries.ts';
import { settingStatement } from './carry.ts';
import { formatMark, parseMark } from './mark.ts';

export interface Found {
  readonly oid: number;
  readonly name: string;
  readonly open: boolean;
  readonly comment: string | undefined;
  readonly tablespace: string;
  /** The row's `xmin`: every ALTER DATABASE writes the row anew. Comments are kept elsewhere. */
  readonly version: string;
}

const FIND = `select oid::int8::float8 as oid, datname as name, datallowconn as open, xmin::text as version,
  (select spcname from pg_tablespace t where t.oid = dattablespace) as tablespace,
  shobj_description(oid, 'pg_database') as comment from pg_database where `;

async function findBy(admin: Connection, condition: string, value: unknown): Promise<Found | undefined> {
  const [row] = await admin.prepared<Omit<Found, 'comment'> & { comment: string | null }>(FIND + condition, [
    value,
  ]);
  return row && { ...row, comment: row.comment ?? undefined };
}

export const findByOid = (admin: Connection, oid: number): Promise<Found | undefined> =>
  findBy(admin, 'oid = $1', oid);
export const findByName = (admin: Connection, name: string): Promise<Found | undefined> =>
  findBy(admin, 'datname = $1', name);

/** Finds the copy of a run by its mark, or by the name that only a run's unfinished copy has. */
export async function findCopy(admin: Connection, run: string, interim: string): Promise<Found | undefined> {
  const unfinished = await findByName(admin, interim);
  if (unfinished) return unfinished;
  const marked = await admin.query<Found & { comment: string } & Record<string, unknown>>(
    `${FIND} shobj_description(oid, 'pg_database') like 'cutover run=%'`,
  );
  return marked.find((row) => {
    const mark = parseMark(row.comment);
    return mark?.run === run && mark.as === 'copy';
  });
}

/**
 * Executes a clone. The copy is known as this run's from its first instant: by its name until it is marked, by the
 * mark from then on.
 */
export async function makeCopy(
  { on: admin, address, blue }: { on: Connection; address: Address; blue: Connection },
  plan: ClonePlan,
  run: string,
  control: WorkControl,
): Promise<number> {
  await cancellable(admin, address, control.signal, () => admin.query(plan.create).catch(explainCreate));
  for (const statement of copySteps(plan, run)) {
    control.signal.throwIfAborted();
    await admin.query(statement).catch(explainName(plan.name));
  }
  await carryUnseen(admin, blue, plan);
  const found = await findByName(admin, plan.name);
  if (!found) throw new StepError(`the copy ${plan.name} was made and has gone; has somebody dropped it?`);
  return found.oid;
}

/** What follows CREATE DATABASE, in order; also printed in the plan. */
export const copySteps = (plan: ClonePlan, run: string): string[] => [
  `COMMENT ON DATABASE ${quoteIdentifier(plan.interim)} IS ${quoteLiteral(formatMark({ run, as: 'copy' }))}`,
  `ALTER DATABASE ${quoteIdentifier(plan.interim)} RENAME TO ${quoteIdentifier(plan.name)}`,
  ...plan.carry,
];

/** The same for people: what is not shown is named. */
export const shownCopySteps = (plan: ClonePlan, run: string): string[] => [
  ...copySteps(plan, run),
  ...plan.unseen.map((setting) => settingStatement(plan.name, { ...setting, value: '…', restricted: false })),
];

async function carryUnseen(admin: Connection, from: Connection, plan: ClonePlan): Promise<void> {
  if (plan.unseen.length === 0) return;
  const blue = await findByName(from, plan.from);
  const settings = await from.query<Setting & Record<string, unknown>>(SETTINGS, [blue?.oid]);
  for (const { role, name } of plan.unseen) {
    const setting = settings.find((each) => each.role === role && each.name === name);
    if (!setting)
      throw new StepError(`setting ${name} of ${plan.from} is gone since the plan was made`, {
        hint: 'run again',
      });
    await admin.query(settingStatement(plan.name, setting));
  }
}

function explainCreate(cause: unknown): never {
  if (codeOf(cause) === '55006') {
    throw new StepError('the template clone found another session in blue', {
      cause,
      hint: 'run again; if it goes on, look for what reconnects without end: select * from pg_stat_activity',
    });
  }
  throw cause;
}

function explainName(name: string): (cause: unknown) => never {
  return (cause) => {
    if (codeOf(cause) !== '42P04') throw cause;
    throw new StepError(`the name ${name} was taken while the clone was made`, {
      cause,
      hint: 'choose another name: green: NAME in the playbook, or drop the database of that name',
    });
  };
}

/** Drops a database that carries the expected mark; anything else is left alone with an error that says so. */
export async function dropMarked(
  admin: Connection,
  found: Found,
  expected: Mark,
  interim: string,
): Promise<void> {
  const mark = parseMark(found.comment);
  const ours = found.name === interim || (mark?.run === expected.run && mark.as === expected.as);
  if (!ours) {
    throw new StepError(
      `database ${found.name} does not carry the mark of run ${expected.run}; it is left alone`,
      {
        hint: `its comment is ${found.comment === undefined ? 'empty' : JSON.stringify(found.comment)}; if it is to go, drop it by hand`,
      },
    );
  }
  const database = quoteIdentifier(found.name);
  // After an interrupted DROP the database takes no ALTER any more, only another DROP.
  if (found.open) await admin.query(`ALTER DATABASE ${database} WITH ALLOW_CONNECTIONS false`);
  // It removes every file, and may wait for a checkpoint.
  await admin.query(`DROP DATABASE ${database} WITH (FORCE)`, undefined, { long: true });
}
