import type { Catalog, Path } from '../../core/database/catalog.ts';
import type { Check, CheckContext, Finding } from '../../core/drivers/check.ts';
import type { Plan } from '../../core/plan.ts';
import { displayPath } from '../../util/sql.ts';

/** What a run's checks are held to, whoever runs them. */
export interface Checking {
  readonly plan: Pick<Plan, 'expect' | 'live'>;
  readonly checks: readonly { readonly name: string; readonly check: Check }[];
  readonly migrators: readonly { readonly bookkeeping?: readonly Path[] }[];
  /** Environment for child processes, without `GREEN_URL`. */
  readonly env: Readonly<Record<string, string>>;
  readonly greenUrl: string;
  readonly signal: AbortSignal;
  /** Of the command line: no rows are read while more sessions of others are active. */
  readonly maxActive?: number | undefined;
  progress(check: string, done: number, total: number, note?: string): void;
}

type Sides = Pick<CheckContext, 'blue' | 'green'>;

/** Runs the checks of one kind, or all of them; throws only when one could not finish. */
export async function runChecks(
  checking: Checking,
  sides: Sides,
  when: readonly Check['when'][] = ['green-open', 'closed'],
): Promise<Finding[]> {
  const chosen = checking.checks.filter(({ check }) => when.includes(check.when));
  const findings: Finding[] = [];
  if (chosen.length === 0) return findings;
  const catalogs = { blue: await sides.blue.catalog(), green: await sides.green.catalog() };
  const shared = {
    ...sides,
    catalogs: { blue: rowsOf(checking, catalogs.blue), green: rowsOf(checking, catalogs.green) },
    expect: checking.plan.expect,
    env: { ...checking.env, GREEN_URL: checking.greenUrl },
    signal: checking.signal,
    maxActive: checking.maxActive,
  };
  for (const { name, check } of chosen) {
    checking.signal.throwIfAborted();
    const progress: CheckContext['progress'] = (done, total, note) =>
      checking.progress(name, done, total, note);
    progress(0, 0);
    findings.push(...(await check.run({ ...shared, progress })));
  }
  return findings;
}

/** Without what changes with every migration, and what replication does not carry. */
function rowsOf(checking: Checking, catalog: Catalog): Catalog {
  const books = booksOf(checking.migrators);
  const unfollowed = new Set(checking.plan.live?.unfollowed);
  return {
    ...catalog,
    tables: catalog.tables.filter(({ path }) => {
      const name = displayPath(path);
      return !books.includes(name) && !unfollowed.has(name);
    }),
  };
}

/** Tables whose rows change with every migration, by name. */
export const booksOf = (migrators: Checking['migrators']): string[] =>
  migrators.flatMap(({ bookkeeping }) => (bookkeeping ?? []).map(displayPath));

/** What replication does not carry is not proved. */
export function unfollowedNote(plan: Checking['plan'], blue: Catalog): Finding[] {
  const unfollowed = new Set(plan.live?.unfollowed);
  const rest = blue.tables.map(({ path }) => displayPath(path)).filter((name) => unfollowed.has(name));
  if (rest.length === 0) return [];
  const message = `rows not compared, because nobody follows them: ${rest.join(', ')}`;
  return [{ check: 'verify', severity: 'note', message }];
}

/** What nobody compares rows of, because migrators keep their versions there. */
export function booksNote(migrators: Checking['migrators']): Finding[] {
  const books = booksOf(migrators);
  if (books.length === 0) return [];
  const message = `rows not compared: ${books.join(', ')}, where the migrators keep their versions`;
  return [{ check: 'verify', severity: 'note', message }];
}
