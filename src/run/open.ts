import { join } from 'node:path';
import { bakeChecks, checks as checkRegistry } from '../checks/registry.ts';
import type { Check } from '../core/drivers/check.ts';
import type { Database } from '../core/database/database.ts';
import type { DriverUse, Registry, Resolve } from '../core/drivers/driver.ts';
import { CutoverError, RefusedError, UsageError } from '../core/errors.ts';
import type { Migrator } from '../core/drivers/migrator.ts';
import type { Notifier } from '../core/drivers/notice.ts';
import type { BlueSource, Limits } from '../core/playbook.ts';
import type { Plan } from '../core/plan.ts';
import type { Target } from '../core/drivers/target.ts';
import { openEmbedded } from '../databases/postgres/embedded/embedded.ts';
import { Postgres } from '../databases/postgres/postgres.ts';
import { migrators as migratorRegistry } from '../migrators/registry.ts';
import { notices as noticeRegistry } from '../notices/registry.ts';
import { targets as targetRegistry } from '../targets/registry.ts';
import { KEY_VARIABLE } from './approval/seal.ts';
import { CHILD_VARIABLE } from '../util/stray.ts';
import { databaseOf } from '../util/url.ts';

/** What the process brings along: variables for references and child processes, and the state folder. */
export interface Surroundings {
  readonly variables: Readonly<Record<string, string>>;
  readonly resolve: Resolve;
  /** `.cutover` unless `--state` says otherwise. */
  readonly stateFolder: string;
  /** Folder of pg_dump and pg_restore; otherwise they are looked for on PATH. */
  readonly tools?: string | undefined;
}

/** The live things behind the names of a plan. */
export interface Drivers {
  readonly database: Database;
  readonly migrators: readonly Migrator[];
  readonly checks: readonly { name: string; check: Check }[];
  /** Of the bake. */
  readonly bake: readonly { name: string; check: Check }[];
  readonly targets: readonly { name: string; target: Target }[];
  readonly env: Readonly<Record<string, string>>;
  /** A word about what stays running, for the end of the output. */
  readonly stays: string | undefined;
  /** Closes every connection and stops what was started. */
  end(): Promise<void>;
}

export interface OpenServer {
  readonly database: Postgres;
  readonly blue: string;
  readonly stays: string | undefined;
  end(): Promise<void>;
}

/** Opens blue's server, starting it first when it is the embedded one. Nothing is bound yet. */
export async function openServer(
  source: BlueSource,
  run: string,
  around: Surroundings,
  limits: Limits,
  greenUrl?: string,
): Promise<OpenServer> {
  const embedded =
    source.kind === 'embedded'
      ? await openEmbedded(source, join(around.stateFolder, 'embedded'), around.tools)
      : undefined;
  const url = source.kind === 'embedded' ? embedded!.url : around.resolve(source.url);
  const blue = databaseOf(url);
  if (blue === undefined) throw new RefusedError('the connection string of blue names no database');
  const database = new Postgres({
    url,
    run,
    limits,
    greenUrl: greenUrl === undefined ? undefined : around.resolve(greenUrl),
    tools: around.tools,
  });
  return {
    database,
    blue,
    stays: embedded?.stays,
    async end() {
      await database.end();
      await embedded?.end();
    },
  };
}

type DriverPlan = Pick<Plan, 'run' | 'migrate' | 'verify' | 'targets' | 'renames' | 'names'> & {
  readonly bake?: Plan['bake'];
  readonly folder: string;
};

/** Opens the drivers that a plan names, on a server that is open. */
export function openDrivers(server: OpenServer, plan: DriverPlan, around: Surroundings): Drivers {
  const { database, stays } = server;
  // What migrations and hooks start has nothing to approve.
  const { [KEY_VARIABLE]: _key, ...variables } = around.variables;
  const env = { ...variables, CUTOVER_RUN: plan.run, [CHILD_VARIABLE]: plan.run };
  const general = { folder: plan.folder, env, resolve: around.resolve };
  const target = {
    folder: plan.folder,
    database,
    names: plan.names,
    renames: plan.renames,
    resolve: around.resolve,
    places: database.places,
  };
  const targets = plan.targets.map((use) => ({
    name: use.driver,
    target: openDriver(targetRegistry, use, target),
  }));
  return {
    database,
    stays,
    env,
    migrators: plan.migrate.map((use) => openDriver(migratorRegistry, use, general)),
    checks: plan.verify.map((use) => ({ name: use.driver, check: openDriver(checkRegistry, use, general) })),
    bake: (plan.bake ?? []).map((use) => ({
      name: use.driver,
      check: openDriver(bakeChecks, use, general),
    })),
    targets,
    async end() {
      for (const { target } of targets) await target.end?.();
      await server.end();
    },
  };
}

/** Opens those who are told what becomes of a run; `failed` hears of each that cannot be opened, and the rest are given. */
export const openNotifiers = (
  uses: readonly DriverUse[],
  folder: string,
  { variables: env, resolve }: Surroundings,
  failed: (use: DriverUse, error: unknown) => void,
): Notifier[] =>
  uses.flatMap((use) => {
    try {
      return [openDriver(noticeRegistry, use, { folder, env, resolve })];
    } catch (error) {
      failed(use, error);
      return [];
    }
  });

/** A check by its name, with options in the words of a playbook; undefined when there is none that can do without a playbook. */
export function openBareCheck(
  name: string,
  options: Readonly<Record<string, unknown>>,
  around: Surroundings,
): Check | undefined {
  const driver = Object.hasOwn(checkRegistry, name) ? checkRegistry[name] : undefined;
  const context = { folder: process.cwd(), env: around.variables, resolve: around.resolve };
  if (!driver?.bare) return undefined;
  const parsed = driver.options.safeParse(options);
  if (parsed.success) return driver.open(parsed.data, context);
  const [issue] = parsed.error.issues;
  throw new UsageError(`${name}: ${issue!.path.join('.')} ${issue!.message}`);
}

export const bareChecks = (): string[] =>
  Object.entries(checkRegistry).flatMap(([name, { bare }]) => (bare ? [name] : []));

function openDriver<Context, Live>(
  registry: Registry<Context, Live>,
  use: DriverUse,
  context: Context,
): Live {
  const driver = registry[use.driver];
  if (!driver) throw new RefusedError(`this version does not know ${use.driver}`, { where: use.at });
  try {
    return driver.open(use.options, context);
  } catch (error) {
    // The same error, with its place in the playbook.
    if (error instanceof CutoverError && error.where === undefined) Object.assign(error, { where: use.at });
    throw error;
  }
}

/** Opens everything for a run that is in the journal, on the server and the databases that it was made for. */
export async function openStored(
  plan: Plan,
  greenOid: number | undefined,
  around: Surroundings,
): Promise<Drivers> {
  const server = await openServer(plan.source, plan.run, around, plan.limits, plan.live?.green?.url);
  try {
    server.database.bind('blue', plan.blue.oid);
    if (greenOid !== undefined) server.database.bind('green', greenOid);
    const { identifier } = await server.database.identity();
    if (identifier !== plan.server.identifier) {
      throw new RefusedError('this is another server than the one that the run was made on', {
        hint: `the run's server has the system identifier ${plan.server.identifier}, this one ${identifier}: check the connection string`,
      });
    }
    const green = plan.live?.green;
    if (green && (await server.database.identity('green')).identifier !== green.identifier) {
      throw new RefusedError("green's server is another one than the run was made on", {
        hint: `its system identifier was ${green.identifier}: check the connection string`,
      });
    }
    return openDrivers(server, { ...plan, folder: plan.playbook.folder }, around);
  } catch (error) {
    await server.end();
    throw error;
  }
}
