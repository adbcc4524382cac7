import { setTimeout as sleep } from 'node:timers/promises';
import ava, { type ExecutionContext } from 'ava';
import { Client } from 'pg';
import { statusIn, type Outcome } from './helpers/cli.ts';
import { LIVE_SETTINGS, liveScene, type LiveScene } from './helpers/live-scene.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { majors, testServer, type TestServer } from './helpers/postgres.ts';

const test = ava.serial;

let blue: TestServer;
let green: TestServer;
const lacking = [15, 18].filter((major) => !majors().includes(major));
const SKIPPED =
  NEEDS_PGBOUNCER || (lacking.length > 0 ? ` (SKIPPED: PostgreSQL ${lacking.join(', ')} is missing)` : '');
test.before(async () => {
  if (SKIPPED) return;
  // A worker that ends is started again at once, not after five seconds.
  const settings = { ...LIVE_SETTINGS, wal_retrieve_retry_interval: '100ms' };
  [blue, green] = await Promise.all([testServer(15, settings), testServer(18, settings)]);
});
test.after.always(async () => {
  await blue?.stop();
  await green?.stop();
});

/** Random, and told: a failure is played again with CUTOVER_TEST_SEED. */
const SEED = Number(process.env['CUTOVER_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const FAULTS: Readonly<
  Record<string, (scene: LiveScene, child: { kill(signal: NodeJS.Signals): unknown }) => Promise<unknown>>
> = {
  'the tool is killed': async (_scene, child) => child.kill('SIGKILL'),
  'the workers are killed': () => end(`backend_type like 'logical replication%worker'`),
  'the senders are killed': () => end(`backend_type = 'walsender'`),
  'the sessions of the tool are killed': () => end(`application_name like 'cutover 2%'`),
  'blue’s server crashes': ({ blue: { server } }) => server.crash(),
  'green’s server crashes': ({ green: { server } }) => server.crash(),
  'the admin connections are cut': async ({ admin }) => admin.cut(),
  'PgBouncer crashes': async ({ pooler }) => {
    pooler.process.kill('SIGKILL');
    await pooler.start();
  },
};
/** Here clients lose their connections; nowhere else do they see an error. */
const CUTS_CLIENTS = /crashes/;

async function end(condition: string): Promise<void> {
  for (const server of [blue, green])
    await server.sql(`select pg_terminate_backend(pid) from pg_stat_activity where ${condition}`);
}

const OVER = ['completed', 'swapped back', 'unwound', 'refused'];
const NEXT: Readonly<Record<string, readonly string[]>> = {
  running: ['resume'],
  unwinding: ['abort'],
  stuck: ['abort'],
};

/** Does what the tool says is to be done next, until the run is settled. */
async function settle(scene: LiveScene): Promise<{ phase: string; live: 'blue' | 'green'; told: string[] }> {
  const told: string[] = [];
  for (let tries = 0; tries < 6; tries += 1) {
    const state = await statusIn(scene.work);
    if (!state) return { phase: 'refused', live: 'blue', told };
    if (OVER.includes(state.phase)) return { ...state, told };
    const command = NEXT[state.phase] ?? [state.heading === 'blue' ? 'swap-back' : 'switch', '--yes'];
    const { code, err } = await scene.cutover(command);
    told.push(`${state.phase}: ${command.join(' ')} → ${code}\n${err}`);
    await sleep(300);
  }
  throw new Error(`not settled:\n${told.join('\n')}`);
}

/** Nobody can write to a side, neither the application nor a superuser. */
async function assertFenced(t: ExecutionContext, side: LiveScene['blue'], scene: LiveScene): Promise<void> {
  for (const login of [{ user: 'app', password: 'app-word' }, {}]) {
    const url = new URL(side.server.url(side.name));
    const client = new Client({
      host: url.hostname,
      port: Number(url.port),
      database: side.name,
      user: 'postgres',
      password: decodeURIComponent(url.password),
      ...login,
    });
    client.on('error', () => undefined);
    await t.throwsAsync(
      (async () => {
        await client.connect();
        await client.query(`insert into entries values ('stray', 0, '')`);
      })(),
      undefined,
      `${side.name} takes writes of ${JSON.stringify(login)} (${scene.work.folder})`,
    );
    await client.end().catch(() => undefined);
  }
}

const random = randoms(SEED);
const COMMANDS = ['run', 'swap-back', 'switch'] as const;
const ROUNDS = Number(process.env['CUTOVER_TEST_ROUNDS'] ?? 1);

for (let round = 0; round < ROUNDS; round += 1) {
  for (const [index, [fault, strike]] of Object.entries(FAULTS).entries()) {
    const command = COMMANDS[(index + round + SEED) % 3]!;
    const delay = Math.floor(random() * (command === 'run' ? 2200 : 900));
    (SKIPPED ? ava.skip : test)(
      `${round}: ${fault} ${delay} ms after ${command}: nothing is lost, one side takes writes${SKIPPED}`,
      async (t) => {
        t.log(`CUTOVER_TEST_SEED=${SEED}`);
        const scene = await liveScene(t, { from: blue, to: green, perSecond: 200 });
        scene.ledger.start();
        const before = command === 'run' ? [] : command === 'switch' ? ['run', 'swap-back'] : ['run'];
        for (const word of before) {
          const { code, err } = await scene.cutover([word, ...argumentsOf(word)]);
          t.is(code, 0, err);
        }
        const { child, done } = scene.work.start([command, ...argumentsOf(command)], scene.env);
        await sleep(delay);
        await strike(scene, child);
        const ended: Outcome = await done;
        const { phase, live, told } = await settle(scene);
        t.log(`ended ${ended.code ?? ended.signal}, then ${phase}`);
        await sleep(300);
        const { errors, acknowledged } = await scene.ledger.stop();
        const context = [ended.err, ...told].join('\n');
        if (!CUTS_CLIENTS.test(fault)) t.deepEqual(errors, [], context);
        t.true(acknowledged > 0);
        const [there, away] = live === 'blue' ? [scene.blue, scene.green] : [scene.green, scene.blue];
        t.deepEqual(await scene.ledger.problems(there.server, there.name), [], context);
        if (['completed', 'swapped back'].includes(phase)) {
          await assertFenced(t, away, scene);
          const retired = await scene.cutover(['retire', '--confirm', away.name]);
          t.is(retired.code, 0, retired.err);
        }
        for (const { server, name } of [there, away]) {
          t.deepEqual(
            await server.sql(`select slot_name from pg_replication_slots where database = '${name}'`),
            [],
            context,
          );
        }
        const left = await there.server.sql(
          `select nspname from pg_namespace where nspname = 'cutover_sync'`,
          there.name,
        );
        t.deepEqual(left, [], context);
      },
    );
  }
}

const argumentsOf = (command: string): string[] => (command === 'run' ? ['playbook.yml'] : ['--yes']);
