import type { Approval } from '../../core/approval.ts';
import type { Connection } from '../../databases/postgres/connection.ts';
import { asApproval } from '../approvals.ts';
import { hasApprovals } from './schema.ts';

/** Keeps the latest approval of a playbook; one statement, so that readers see either it or the one before. */
export async function putApproval(connection: Connection, given: Approval): Promise<void> {
  await connection.query(
    `insert into cutover.approvals (name, body) values ($1, $2)
     on conflict (name) do update set body = excluded.body`,
    [given.name, JSON.stringify(given)],
  );
}

export async function readApproval(
  connection: Connection,
  name: string,
  where: string,
): Promise<Approval | undefined> {
  if (!(await hasApprovals(connection))) return undefined;
  const [row] = await connection.query<{ body: string }>(
    'select body from cutover.approvals where name = $1',
    [name],
  );
  return row && asApproval(row.body, where);
}

export async function approvalNames(connection: Connection): Promise<string[]> {
  if (!(await hasApprovals(connection))) return [];
  const rows = await connection.query<{ name: string }>(
    'select name from cutover.approvals order by name collate "C"',
  );
  return rows.map(({ name }) => name);
}

/** Says whether there was one. */
export async function removeApproval(connection: Connection, name: string): Promise<boolean> {
  if (!(await hasApprovals(connection))) return false;
  const rows = await connection.query('delete from cutover.approvals where name = $1 returning name', [name]);
  return rows.length > 0;
}
