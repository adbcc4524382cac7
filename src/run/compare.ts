import type { Catalog, Path } from '../core/database/catalog.ts';
import type { Check, CheckContext, Finding } from '../core/drivers/check.ts';
import { MovedError, RefusedError, UsageError } from '../core/errors.ts';
import type { Expectations, Limits } from '../core/playbook.ts';
import type { Side } from '../core/side.ts';
import { didYouMean, keyOf, readName } from '../checks/shared/names.ts';
import { abortable } from '../checks/shared/run.ts';
import { addressOf } from '../databases/postgres/address.ts';
import { Connection } from '../databases/postgres/connection.ts';
import { Snapshot } from '../databases/postgres/reading/snapshot.ts';
import { plural } from '../util/units.ts';
import { databaseOf } from '../util/url.ts';
import { refusing } from './refusing.ts';

export interface Comparing {
  /** Connection strings; secret. */
  readonly urls: Readonly<Record<Side, string>>;
  readonly checks: readonly { readonly name: string; readonly check: Check }[];
  readonly expect: Expectations;
  /** Of one and the same schema, without migrations in between. */
  readonly alike?: boolean;
  /** For child processes; secret. */
  readonly env: Readonly<Record<string, string>>;
  /** Readings of each side at the same time. */
  readonly jobs: number;
  /** No rows are read while more sessions of others are active. */
  readonly maxActive: number | undefined;
  /** Tables whose rows are passed over. */
  readonly without?: readonly Path[];
  /** Of blue: only the rows of these are looked at. */
  readonly tables: readonly string[] | undefined;
  readonly limits?: Pick<Limits, 'connect' | 'lock' | 'statement'>;
  readonly signal: AbortSignal;
  progress(check: string, done: number, total: number, note?: string): void;
}

export interface Compared {
  readonly findings: readonly Finding[];
  /** What was read: `shop on db1:5432, PostgreSQL 18.4`. */
  readonly places: Readonly<Record<Side, string>>;
}

interface Place {
  readonly database: string;
  readonly host: string;
  readonly port: number;
  readonly version: string;
  readonly started: string;
}

/** Whether everything that was asked is proved. */
export const isProved = (findings: readonly Finding[]): boolean =>
  findings.every(({ severity }) => severity !== 'failure' && severity !== 'unknown');

/** Runs checks on any two databases, each as it was at one moment of its own. Nothing is written. */
export const compare = (comparing: Comparing): Promise<Compared> =>
  refusing(async () => {
    for (let goes = 1; ; goes += 1) {
      try {
        const { findings, places } = await compareNow(comparing);
        return { findings: [...findings, ...readAnew(goes - 1)], places };
      } catch (error) {
        if (!(error instanceof MovedError) || goes === GOES) throw error;
        comparing.progress('compare', 0, 0, `${error.message}: everything is read anew`);
      }
    }
  });

/** How often everything is read, where the state that was begun with is lost each time. */
const GOES = 3;

function readAnew(times: number): Finding[] {
  if (times === 0) return [];
  const message = `read anew ${plural(times, 'time')}: a connection was lost, and it could not be shown that nothing was written since`;
  return [{ check: 'compare', severity: 'note', message }];
}

async function compareNow(comparing: Comparing): Promise<Compared> {
  const { urls, jobs, checks, signal } = comparing;
  refuseUnpaced(comparing);
  const opened: Partial<Record<Side, Snapshot>> = {};
  try {
    const places: Partial<Record<Side, Place>> = {};
    for (const side of ['blue', 'green'] as const) {
      const connect = connector(urls[side], side, comparing.limits);
      opened[side] = await Snapshot.open(connect, jobs);
      places[side] = await placeOf(connect, urls[side]);
    }
    const { blue, green } = places as Record<Side, Place>;
    if (blue.database === green.database && blue.started === green.started && blue.port === green.port)
      throw new RefusedError('both connection strings lead to the same database', {
        hint: 'give two different ones',
      });
    const [one, other] = [opened.blue!, opened.green!];
    await Promise.all([one.take(), other.take()]);
    const readers = { blue: one.reader(), green: other.reader() };
    const [theirs, ours] = await abortable(signal, () =>
      Promise.all([readers.blue.catalog(), readers.green.catalog()]),
    );
    const catalogs = { blue: theirs, green: ours };
    const context: Omit<CheckContext, 'progress'> = {
      ...readers,
      catalogs: { ...catalogs, blue: only(catalogs.blue, comparing.tables, comparing.without ?? []) },
      expect: comparing.expect,
      alike: comparing.alike,
      env: { ...comparing.env, GREEN_URL: urls.green },
      signal,
      maxActive: comparing.maxActive,
    };
    const findings: Finding[] = [];
    for (const { name, check } of checks) {
      signal.throwIfAborted();
      findings.push(
        ...(await check.run({
          ...context,
          progress: (done, total, note) => comparing.progress(name, done, total, note),
        })),
      );
    }
    return { findings, places: { blue: shown(blue), green: shown(green) } };
  } finally {
    await opened.blue?.end();
    await opened.green?.end();
  }
}

/** Throws UsageError when a limit is given, and there is nothing that it would hold back. */
export function refuseUnpaced({ maxActive, checks }: Pick<Comparing, 'maxActive' | 'checks'>): void {
  if (maxActive === undefined || checks.some(({ check }) => check.paced)) return;
  throw new UsageError('--max-active is for checks that read rows, and there is none', {
    hint: 'row-counts, checksums, foreign-keys and indexes do; leave --max-active out',
  });
}

function connector(url: string, side: Side, limits: Comparing['limits']): () => Promise<Connection> {
  const database = databaseOf(url);
  if (database === undefined)
    throw new UsageError(`the connection string of ${side} names no database`, {
      hint: 'postgresql://user@host/database',
    });
  const address = addressOf(url, 'cutover compare', limits);
  return () => Connection.open(address, database);
}

async function placeOf(connect: () => Promise<Connection>, url: string): Promise<Place> {
  const { host } = addressOf(url, 'cutover compare');
  const connection = await connect();
  try {
    const [row] = await connection.query<Omit<Place, 'host'>>(
      `select current_database() as database, current_setting('server_version') as version,
         current_setting('port')::int as port, pg_postmaster_start_time()::text as started`,
    );
    return { ...row!, host };
  } finally {
    await connection.end();
  }
}

const shown = ({ database, host, port, version }: Place): string =>
  `${database} on ${host}:${port}, PostgreSQL ${version}`;

function only(catalog: Catalog, names: readonly string[] | undefined, without: readonly Path[]): Catalog {
  const passed = new Set(without.map(keyOf));
  const tables = catalog.tables.filter(({ path }) => !passed.has(keyOf(path)));
  if (names === undefined) return { ...catalog, tables };
  const known = new Set(catalog.tables.map(({ path }) => keyOf(path)));
  const wanted = new Set(
    names.map((name) => {
      const path = readName(name, 2);
      if (path && known.has(keyOf(path))) return keyOf(path);
      throw new UsageError(`--tables names ${name}, which is no table of the first database`, {
        hint: didYouMean(
          name,
          catalog.tables.map((table) => table.path),
        ),
      });
    }),
  );
  return { ...catalog, tables: tables.filter(({ path }) => wanted.has(keyOf(path))) };
}
