import { randomBytes } from 'node:crypto';
import type { Finding } from '../core/drivers/check.ts';
import type { Facts } from '../core/database/facts.ts';
import type { LivePlan, Plan } from '../core/plan.ts';
import type { Playbook } from '../core/playbook.ts';
import { buildPlan, namesOf, renameOf } from '../plan/build.ts';
import { predicted, type Measured } from '../plan/predict.ts';
import { lookAtChecks, lookAtFacts } from '../steps/preflight/conditions.ts';
import { lookAtTargets, withoutEchoes } from '../steps/preflight.ts';
import { compactTime } from '../util/time/clock.ts';
import { refusing } from './refusing.ts';
import { openDrivers, openServer, type Drivers, type OpenServer, type Surroundings } from './open.ts';

/** `20261120-234205-0173fa`: sorts by time, to the millisecond; the end keeps two runs of one millisecond apart. */
export const newRunId = (now: Date): string =>
  `${compactTime(now)}-${String(now.getUTCMilliseconds()).padStart(3, '0')}${randomBytes(2).toString('hex').slice(1)}`;

export interface PreparedRun {
  readonly plan: Plan;
  readonly drivers: Drivers;
  /** A hash of each object of blue's schema. */
  readonly objects: Facts['blue']['schema'];
}

/**
 * Looks at blue and makes the plan; the drivers stay open for running it. Changes nothing. Estimates are made from what was
 * measured before, where anything was.
 */
export const prepareRun = (...args: Parameters<typeof prepare>): Promise<PreparedRun> =>
  refusing(() => prepare(...args));

async function prepare(
  playbook: Playbook,
  around: Surroundings,
  lock: boolean,
  measured: readonly Measured[] = [],
): Promise<PreparedRun> {
  const run = newRunId(new Date());
  const server = await openServer(playbook.blue, run, around, playbook.limits, playbook.greenUrl);
  try {
    await server.database.bindByName('blue', server.blue);
    if (lock) await server.database.lock();
    const prepared = await planRun(playbook, run, server, around);
    return { ...prepared, plan: predicted(prepared.plan, measured) };
  } catch (error) {
    await server.end();
    throw error;
  }
}

async function planRun(
  playbook: Playbook,
  run: string,
  server: OpenServer,
  around: Surroundings,
): Promise<PreparedRun> {
  const { database } = server;
  const names = namesOf(playbook, server.blue);
  const renames = renameOf(playbook) !== undefined;
  const drivers = openDrivers(
    server,
    {
      run,
      migrate: playbook.migrate,
      verify: playbook.verify,
      bake: playbook.bake?.checks ?? [],
      targets: playbook.switch.targets,
      folder: playbook.folder,
      names,
      renames,
    },
    around,
  );
  const facts = await database.inspect({ live: playbook.sync.method === 'logical' });
  const clone = database.planClone(facts, names.green, playbook.clone);
  const live = await planLive(playbook, facts, database, clone.estimate.ms);
  const plan = buildPlan(playbook, {
    run,
    createdAt: new Date().toISOString(),
    facts,
    names,
    findings: withoutEchoes([
      ...findingsOf(facts, playbook, { names, renames, live }),
      ...(await lookAtTargets(drivers.targets)),
    ]),
    clone,
    live,
    follows: live && database.live.describe(live.follow),
    close: { blue: database.planClose(names.blue), green: database.planClose(names.green) },
    migrators: await planMigrators(playbook, drivers, facts),
    checks: playbook.verify.map((use, index) => ({ use, does: drivers.checks[index]!.check.describe() })),
    bakes: (playbook.bake?.checks ?? []).map((use, index) => ({
      use,
      does: drivers.bake[index]!.check.describe(),
    })),
    targets: playbook.switch.targets.map((use, index) => ({
      use,
      ...drivers.targets[index]!.target.describe(),
    })),
  });
  return { plan, drivers, objects: facts.blue.schema };
}

const findingsOf = (
  facts: Facts,
  playbook: Playbook,
  plan: Pick<Plan, 'names' | 'renames' | 'live'>,
): Finding[] => [
  ...lookAtFacts(facts, {
    ...plan,
    longTransactions: playbook.switch.longTransactions,
    bake: playbook.bake?.checks ?? [],
  }),
  ...lookAtChecks(playbook.verify),
];

/** How blue is followed, when it is. */
async function planLive(
  playbook: Playbook,
  facts: Facts,
  { live }: OpenServer['database'],
  estimateMs: number,
): Promise<LivePlan | undefined> {
  const { sync, clone, greenUrl, expect } = playbook;
  if (sync.method === 'none' || !facts.live) return undefined;
  return {
    follow: await live.plan(sync, expect.dropped, facts.blue.connectionLimit),
    unfollowed: facts.live.tables.filter(({ logged }) => !logged).map(({ name }) => name),
    clone: { method: clone.method, pause: clone.pause, estimateMs },
    pause: playbook.switch.pause,
    green:
      greenUrl === undefined ? undefined : { url: greenUrl, identifier: facts.live.servers.green.identifier },
  };
}

/** What each migrator would do to a database like blue. A closed blue cannot be asked; the preflight says so. */
async function planMigrators(playbook: Playbook, drivers: Drivers, facts: Facts) {
  if (facts.blue.closed) return [];
  const target = await drivers.database.migrationTarget('blue');
  return Promise.all(
    playbook.migrate.map(async (use, index) => ({ use, ...(await drivers.migrators[index]!.plan(target)) })),
  );
}
