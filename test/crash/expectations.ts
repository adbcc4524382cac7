import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { other } from '../../src/core/side.ts';
import { statusIn, type Status } from '../helpers/cli.ts';
import { dump } from '../helpers/dump.ts';
import { withoutWrites, type Scene, type Stage } from './scene.ts';

/** What the database that is live looks like, by the phase in which the run has ended. */
export type Expected = Readonly<Record<string, readonly string[]>>;

/** What a settled run says of itself; undefined when no run was ever begun. */
export async function statusOf({ cutover, folder, stage }: Scene): Promise<Status | undefined> {
  if (stage.state.length === 0) return statusIn({ folder });
  const { code, out } = await cutover(['status', '--json']);
  return code === 0 ? (JSON.parse(out) as Status) : undefined;
}

export const isSettled = (status: Status | undefined): boolean =>
  !status || !['running', 'unwinding', 'stuck', 'swapping back', 'retiring'].includes(status.phase);

const PHASES = ['refused', 'unwound', 'completed', 'swapped back', 'retired'];

/**
 * Everything that must be true once a run is settled, whatever happened to it. Gives what is not, a line each.
 */
export async function problemsOf(scene: Scene, expected: Expected): Promise<string[]> {
  const status = await statusOf(scene);
  const live = status?.live ?? 'blue';
  const phase = status?.phase ?? 'refused';
  if (!PHASES.includes(phase)) return [`the run is ${phase}: ${JSON.stringify(status?.error)}`];
  const problems: string[] = [];
  const check = (holds: boolean, text: string): void => {
    if (!holds) problems.push(text);
  };
  check(status?.writer === undefined || status.writer === null, `the journal is held by ${status?.writer}`);
  // The application goes on by itself, where clients are told to go.
  check(await scene.client.writes(5000), 'nobody can write to the live side');
  await scene.client.stop();
  problems.push(...(await databaseProblems(scene, phase, live)));
  problems.push(...(await rowProblems(scene, expected[phase] ?? [])));
  const side = /^SIDE=(\w+)$/m.exec(await readFile(join(scene.folder, 'app.env'), 'utf8'))?.[1];
  check(side === live, `the env file says ${side}, and live is ${live}`);
  problems.push(...(await leftovers(scene, status)));
  if (status) problems.push(...(await hookProblems(scene, status)));
  return problems;
}

async function databaseProblems({ stage, database }: Scene, phase: string, live: string): Promise<string[]> {
  const rows = await stage.server.sql<{ line: string }>(
    `select format('%s %s %s', case when datname like 'cutover\\_%' then datname else replace(datname, '${database}', 'blue') end,
       case when datallowconn then 'open' else 'closed' end,
       coalesce(substring(shobj_description(oid, 'pg_database') from 'as=(\\w+)'), '-')) as line
     from pg_database where datname like '${database}%' or datname like 'cutover\\_%' order by 1`,
  );
  const found = rows.map(({ line }) => line).join(', ');
  // One that follows lets its worker in; what keeps everybody else from writing is its fence.
  const how = stage.live ? 'open' : 'closed';
  const kept =
    phase === 'completed'
      ? `${database}_previous`
      : phase === 'swapped back'
        ? `${database}_green`
        : undefined;
  const wanted = `blue open -${kept === undefined ? '' : `, ${kept.replace(database, 'blue')} ${how} previous`}`;
  if (stage.live && kept !== undefined) {
    const refused = await stage.server.sql('insert into "Writes" values (-1)', kept).then(
      () => 'taken',
      (error: Error) => error.message,
    );
    if (!refused.includes('is fenced by cutover')) return [`a write to ${kept}: ${refused}`];
  }
  return found === wanted
    ? []
    : [`databases of a run that is ${phase} (${live} live): ${found}; wanted: ${wanted}`];
}

/** Rows in the copy that was live until a swap back, whose loss was accepted: they stay in it. */
async function leftBehind({ stage: { server }, database }: Scene): Promise<number[]> {
  const copy = `${database}_green`;
  const closed = await server.sql(`select from pg_database where datname = '${copy}' and not datallowconn`);
  if (closed.length === 0) return [];
  await server.sql(`alter database ${copy} allow_connections true`);
  const rows = await server.sql<{ id: string }>('select id::text from "Writes"', copy);
  return rows.map(({ id }) => Number(id));
}

async function rowProblems(scene: Scene, expected: readonly string[]): Promise<string[]> {
  const { stage, database, client } = scene;
  const rows = await stage.server.sql<{ id: string }>('select id::text from "Writes"', database);
  const live = new Set(rows.map(({ id }) => Number(id)));
  const there = new Set([...live, ...(await leftBehind(scene))]);
  const lost = client.acknowledged.filter((id) => !there.has(id));
  const problems: string[] = [];
  const said = (await statusOf(scene))?.leftBehind ?? [];
  const inCopy = client.acknowledged.filter((id) => !live.has(id) && there.has(id));
  if (inCopy.length > 0 && !said.some((line) => line.includes('"Writes"')))
    problems.push(`${inCopy.length} rows stay in the copy, and nobody says so: ${said.join('; ')}`);
  if (lost.length > 0)
    problems.push(`${lost.length} acknowledged rows are lost: ${lost.slice(0, 5).join(', ')} …`);
  const now = withoutWrites(await dump(stage.server, database));
  const missing = expected.filter((line) => !now.includes(line));
  const surplus = now.filter((line) => !expected.includes(line));
  if (missing.length + surplus.length > 0) {
    problems.push(
      `the live database is not what it should be: missing ${JSON.stringify(missing.slice(0, 3))}, surplus ${JSON.stringify(surplus.slice(0, 3))}`,
    );
  }
  return problems;
}

async function leftovers(scene: Scene, status: Status | undefined): Promise<string[]> {
  const { stage, folder } = scene;
  const files = (await readdir(folder, { recursive: true })).filter((file) =>
    /\.cutover-|requests\/.|writer\./.test(file),
  );
  const run = status?.run;
  const follows = stage.live && ['completed', 'swapped back'].includes(status?.phase ?? '');
  // A backend takes a moment to notice that its client is gone.
  let onServer: string[] = [];
  for (let looks = 0; looks < 40; looks += 1) {
    onServer = (await onTheServer(stage, run ?? 'none', scene.database, follows)).filter(
      (what) => !(follows && what === `slot cutover_${run!.replaceAll('-', '_')}_to_${other(status!.live)}`),
    );
    if (onServer.length === 0) break;
    await sleep(50);
  }
  // A run without a first event is no run: what its dead process left in the folder is an empty journal and its lock.
  const strays = run === undefined ? [] : await processesOf(run);
  return [
    ...(run === undefined ? [] : files.map((file) => `left behind: ${file}`)),
    ...onServer.map((what) => `left on the server: ${what}`),
    ...strays.map((what) => `still at work: ${what}`),
  ];
}

/** First key of the lock of a run. */
const RUN_LOCK = 0x6375746f;

async function onTheServer(
  { server }: Stage,
  run: string,
  database: string,
  follows: boolean,
): Promise<string[]> {
  const rows = await server.sql<{ what: string }>(
    `select 'session ' || application_name as what from pg_stat_activity where application_name like 'cutover%${run}%'
     union all select 'session in ' || datname from pg_stat_activity
       where datname like '${database}%' and application_name like 'cutover%'
         and not (${follows} and (backend_type = 'walsender' or backend_type like 'logical replication%'))
     union all select 'advisory lock' from pg_locks l join pg_database d on d.oid::int8 = l.objid::int8
       where l.locktype = 'advisory' and l.classid::int8 = ${RUN_LOCK} and d.datname like '${database}%'
     union all select 'slot ' || slot_name from pg_replication_slots
     union all select 'role ' || rolname from pg_roles where rolname like 'cutover%'
     union all select 'prepared transaction ' || gid from pg_prepared_xacts`,
  );
  return rows.map(({ what }) => what);
}

async function processesOf(run: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (environment.split('\0').includes(`CUTOVER_RUN=${run}`))
      found.push((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' '));
  }
  return found;
}

/** Whatever a hook did was taken back when the run unwound, and stands when it was completed. */
async function hookProblems({ folder }: Scene, { phase, plan }: Status): Promise<string[]> {
  const log = await readFile(join(folder, 'hooks.log'), 'utf8').catch(() => '');
  return plan.steps
    .filter(({ kind }) => kind === 'hook')
    .flatMap(({ input, id }) => {
      const { when, phase: where } = input as { when: string; phase: string };
      const lines = log.split('\n').filter((line) => line.endsWith(` ${when} ${where}`));
      const last = lines.at(-1)?.split(' ')[0];
      if (phase === 'unwound' || phase === 'refused')
        return last === 'run' ? [`${id} was not taken back`] : [];
      return last === 'run' || last === undefined ? [] : [`${id} was taken back though the run went on`];
    });
}
