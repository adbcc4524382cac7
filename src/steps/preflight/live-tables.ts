import type { Finding } from '../../core/drivers/check.ts';
import type { LiveFacts } from '../../core/database/live-facts.ts';
import type { LivePlan } from '../../core/plan.ts';
import { plural } from '../../util/units.ts';
import { finding } from './condition.ts';

/** Whether replication can carry every change to blue's tables. */
export function tables(live: LiveFacts, plan: LivePlan): Finding[] {
  const findings: Finding[] = [];
  const followed = new Map(plan.follow.tables.map((table) => [table.path.join('\0'), table]));
  const chosen = live.tables.filter(({ path }) => followed.has(path.join('\0')));
  const given = chosen.filter(({ path }) => followed.get(path.join('\0'))!.identity !== undefined);
  const lost = chosen.filter((table) => !table.findable && !given.includes(table));
  if (lost.length > 0) {
    findings.push(
      finding(
        'replica identity',
        'failure',
        `${plural(lost.length, 'table')} whose rows replication cannot tell apart: UPDATE and DELETE would fail on blue itself`,
        {
          list: lost.map(({ name, full }) =>
            full ? `${name}: REPLICA IDENTITY FULL, with columns that cannot be compared` : name,
          ),
          hint: 'give each a primary key; or let the whole row count until the run is retired: sync: { method: logical, without-identity: full }',
        },
      ),
    );
  }
  const blind = given.filter(({ incomparable }) => incomparable.length > 0);
  if (blind.length > 0) {
    findings.push(
      finding(
        'replica identity',
        'failure',
        `${plural(blind.length, 'table')} without a key, with columns that cannot be compared`,
        {
          list: blind.map(({ name, incomparable }) => `${name}: ${incomparable.join(', ')}`),
          hint: 'give each a primary key',
        },
      ),
    );
  }
  for (const { path, columns } of plan.follow.tables) {
    const table = live.tables.find((each) => each.path.join('\0') === path.join('\0'));
    if (!columns || !table) continue;
    const needed = table.full ? undefined : table.identity.filter((column) => !columns.includes(column));
    if (live.servers.blue.major >= 15 && needed?.length === 0) continue;
    findings.push(
      finding(
        'columns',
        'failure',
        live.servers.blue.major < 15
          ? `${table.name}: PostgreSQL 14 cannot leave out the columns that the migrations drop`
          : `${table.name}: a column by which its rows are found is among those that the migrations drop`,
        { hint: 'drop the column after the run is retired' },
      ),
    );
  }
  if (plan.unfollowed.length > 0) {
    findings.push(
      finding(
        'unlogged tables',
        'warning',
        `${plural(plan.unfollowed.length, 'unlogged table')}: what is written to them after the clone does not reach green`,
        {
          list: plan.unfollowed,
        },
      ),
    );
  }
  return findings;
}
