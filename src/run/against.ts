import type { Catalog } from '../core/database/catalog.ts';
import type { Finding } from '../core/drivers/check.ts';
import { RefusedError, UsageError } from '../core/errors.ts';
import type { Expectations, Playbook } from '../core/playbook.ts';
import type { Plan } from '../core/plan.ts';
import type { Side } from '../core/side.ts';
import { keyOf } from '../checks/shared/names.ts';
import { addressOf } from '../databases/postgres/address.ts';
import { catalogFingerprint } from '../databases/postgres/catalog/catalog.ts';
import { Connection } from '../databases/postgres/connection.ts';
import { createReader, prepareReaderSession } from '../databases/postgres/reading/reader.ts';
import type { RunState } from '../journal/fold.ts';
import { namesOf } from '../plan/build.ts';
import { booksNote } from '../steps/shared/checking.ts';
import { displayPath, meantBy } from '../util/sql.ts';
import { databaseOf } from '../util/url.ts';
import { compare, refuseUnpaced, type Compared } from './compare.ts';
import { openDrivers, openServer, openStored, type Drivers, type Surroundings } from './open.ts';
import { refusing } from './refusing.ts';
import { greenOid, nextFor } from './reopen.ts';
import type { Verifying } from './verify.ts';

/** The side of a playbook that is live, and what its checks are held to. */
export interface LiveSide {
  readonly side: Side;
  /** Connection string; secret. */
  readonly url: string;
  readonly drivers: Pick<Drivers, 'checks' | 'migrators' | 'env'>;
  readonly plan: Pick<Plan, 'expect' | 'limits'>;
  /** The fingerprint of blue's schema before the migrations; undefined while there is no run. */
  readonly before: string | undefined;
}

/** Opens what is live by the playbook's run that is not over yet; without one it is the playbook's blue. */
export const withLive = <T>(
  playbook: Playbook,
  state: RunState | undefined,
  around: Surroundings,
  work: (live: LiveSide) => Promise<T>,
): Promise<T> =>
  refusing(() =>
    state && state.phase !== 'retired'
      ? withStored(state, around, work)
      : withPlaybook(playbook, around, work),
  );

async function withStored<T>(
  state: RunState,
  around: Surroundings,
  work: (live: LiveSide) => Promise<T>,
): Promise<T> {
  if (state.phase === 'stuck' || state.phase === 'unwinding' || state.phase === 'swapping back')
    throw new RefusedError(`run ${state.run} is ${state.phase}: it is not settled which side is live`, {
      hint: nextFor(state),
    });
  const { plan, live: side } = state;
  const drivers = await openStored(plan, greenOid(state), around);
  try {
    const url = await drivers.database.url(side);
    return await work({ side, url, drivers, plan, before: plan.blue.fingerprint });
  } finally {
    await drivers.end();
  }
}

async function withPlaybook<T>(
  playbook: Playbook,
  around: Surroundings,
  work: (live: LiveSide) => Promise<T>,
): Promise<T> {
  const { blue, limits, migrate, verify, folder, expect } = playbook;
  const server = await openServer(blue, 'verify', around, limits, playbook.greenUrl);
  try {
    const names = namesOf(playbook, server.blue);
    await server.database.bindByName('blue', names.blue);
    const drivers = openDrivers(
      server,
      { run: 'verify', migrate, verify, targets: [], folder, names, renames: false },
      around,
    );
    const url = await server.database.url('blue');
    return await work({ side: 'blue', url, drivers, plan: { expect, limits }, before: undefined });
  } finally {
    await server.end();
  }
}

type Against = Omit<Verifying, 'around'>;

/** Throws UsageError when none of the checks can be made against a backup. */
export function refuseIncomparable({ drivers }: LiveSide, { maxActive }: Pick<Against, 'maxActive'>): void {
  const checks = drivers.checks.filter(({ check }) => check.compares);
  if (checks.length === 0)
    throw new UsageError('none of the checks of the playbook can be made against a backup', {
      hint: 'schema, row-counts, checksums, sequences and sql with same-on-both can',
    });
  refuseUnpaced({ maxActive, checks });
}

/**
 * Holds what is live against a copy of it, a restored backup. Of one that is older than the migrations it is asked what
 * is asked of blue; otherwise both must be the same.
 */
export async function verifyAgainst(
  live: LiveSide,
  copy: { readonly url: string; readonly place: string },
  against: Against,
): Promise<Compared> {
  const { drivers, plan } = live;
  const age = await ageOf(live, copy.url, against.signal);
  const chosen = drivers.checks.filter(({ check }) => check.compares);
  const compared = await compare({
    ...against,
    urls: age.older ? { blue: copy.url, green: live.url } : { blue: live.url, green: copy.url },
    checks: chosen,
    without: age.older ? drivers.migrators.flatMap(({ bookkeeping }) => bookkeeping ?? []) : [],
    expect: age.older ? plan.expect : { renamed: {}, dropped: [], changed: [] },
    alike: !age.older,
    env: drivers.env,
    limits: plan.limits,
  });
  const own = compared.places[age.older ? 'green' : 'blue'];
  return {
    findings: [
      ...age.findings,
      ...compared.findings,
      ...(age.older ? booksNote(drivers.migrators) : []),
      ...notMade(drivers.checks),
    ],
    places: age.older ? { blue: copy.place, green: own } : { blue: own, green: copy.place },
  };
}

function notMade(checks: Drivers['checks']): Finding[] {
  const names = checks.flatMap(({ name, check }) => (check.compares ? [] : [name]));
  if (names.length === 0) return [];
  const message = `not made against a backup: ${names.join(', ')}, which compare nothing, or ask what the migrations have made`;
  return [{ check: 'backup', severity: 'note', message }];
}

interface Age {
  /** The copy is as blue was before the migrations. */
  readonly older: boolean;
  readonly findings: readonly Finding[];
}

const note = (message: string): Finding => ({ check: 'backup', severity: 'note', message });

async function ageOf(live: LiveSide, copyUrl: string, signal: AbortSignal): Promise<Age> {
  const { side, plan, before, drivers } = live;
  const same = "both are held to the same schema: the playbook's expect and as do not count";
  if (side === 'blue')
    return { older: false, findings: [note(`the backup is held against blue, so ${same}`)] };
  const [here, there] = [await catalogOf(live.url, plan), await catalogOf(copyUrl, plan)];
  signal.throwIfAborted();
  const proved = catalogFingerprint(there) === before && catalogFingerprint(here) !== before;
  if (!proved && !isOlder(here, there, plan.expect))
    return { older: false, findings: [note(`the backup is held against green, so ${same}`)] };
  const findings = [
    note(
      'the backup is older than the migrations: it stands for blue here, and what is live is held to it as after a run',
    ),
  ];
  if (proved) return { older: true, findings };
  // Its schema is not what the run has found: what it lacks may have been made since, or be missing.
  const known = new Set([
    ...there.tables.map(({ path }) => keyOf(path)),
    ...drivers.migrators.flatMap(({ bookkeeping }) => (bookkeeping ?? []).map(keyOf)),
    ...Object.values(plan.expect.renamed).flatMap(keysOf),
  ]);
  const lacks = here.tables.filter(({ path }) => !known.has(keyOf(path)));
  return { older: true, findings: [...findings, ...untold(lacks.map(({ path }) => displayPath(path)))] };
}

function untold(tables: readonly string[]): Finding[] {
  if (tables.length === 0) return [];
  return [
    {
      check: 'backup',
      severity: 'unknown',
      message: `the backup has no ${tables.join(', ')}, and its schema is not the one that the run has found: whether migrations have made that or the backup lacks it cannot be told`,
      hint: 'make a backup of what is live now',
    },
  ];
}

const keysOf = (name: string): string[] => meantBy(name).map(keyOf);

/** One of the names is in the one, and not in the other. */
const only = (names: readonly string[], one: ReadonlySet<string>, other: ReadonlySet<string>): boolean =>
  names.some((name) => keysOf(name).some((key) => one.has(key) && !other.has(key)));

/** It has what the migrations have taken away, or lacks what they have renamed that to. */
function isOlder(here: Catalog, there: Catalog, { renamed, dropped }: Expectations): boolean {
  const [now, then] = [namesIn(here), namesIn(there)];
  return only([...Object.keys(renamed), ...dropped], then, now) || only(Object.values(renamed), now, then);
}

const namesIn = ({ tables }: Catalog): ReadonlySet<string> =>
  new Set(
    tables.flatMap(({ path, columns }) => [
      keyOf(path),
      ...columns.map((column) => keyOf([...path, column.name])),
    ]),
  );

async function catalogOf(url: string, { limits }: Pick<Plan, 'limits'>): Promise<Catalog> {
  const connection = await Connection.open(addressOf(url, 'cutover verify', limits), databaseOf(url)!);
  try {
    await prepareReaderSession(connection.client);
    return await createReader([connection.client]).catalog();
  } finally {
    await connection.end();
  }
}
