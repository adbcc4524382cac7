// How long clients are held by a switch and a swap back while they write, beside a bare PAUSE – RELOAD – RESUME onto
// another database, without any sync, and the clients' own noise: npm run bench:switch [-- --rounds 10]
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { stageFile } from '../src/util/files/atomic.ts';
import { Console } from '../src/targets/pgbouncer/console.ts';
import { pgbouncer as driver } from '../src/targets/pgbouncer.ts';
import { Ledger, LEDGER_SCHEMA } from '../test/helpers/ledger.ts';
import { APP_ROLE, LIVE_SETTINGS, liveScene, type LiveScene } from '../test/helpers/live-scene.ts';
import { pgbouncer, type Pooler } from '../test/helpers/pgbouncer.ts';
import { testServer, type TestServer } from '../test/helpers/postgres.ts';

const GOALS = { median_ms: 45, times_bare: 1.5, largest_ms: 120, clients_times_quiet: 1, errors: 0, lost: 0 };
/** What happens within this time of a swap is put down to it. */
const AROUND_MS = 1000;

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '10' }, only: { type: 'string', default: '' } },
});
const rounds = Number(values.rounds);

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? NaN;
const rounded = (ms: number): number => Math.round(ms * 10) / 10;
const teardowns: (() => unknown)[] = [];

interface Measured {
  readonly pair: string;
  readonly load: string;
  /** From PAUSE to RESUME, as the journal has it. */
  readonly held: readonly number[];
  /** Nobody's transaction was acknowledged for so long. */
  readonly pauses: readonly number[];
  readonly bare: readonly number[];
  readonly inBare: readonly number[];
  readonly inSwitch: readonly number[];
  readonly quiet: readonly number[];
  readonly errors: number;
  readonly problems: readonly string[];
  readonly perSecond: number;
}

const measured: Measured[] = [];
// A production server's, as far as the test servers have something else.
const SETTINGS = { ...LIVE_SETTINGS, fsync: 'on' };
const blue15 = await testServer(15, SETTINGS);
const both18 = await testServer(18, SETTINGS);
try {
  for (const [pair, from, to] of [
    ['one server, 18', both18, both18],
    ['15 to 18', blue15, both18],
  ] as const) {
    for (const [load, perSecond] of [
      ['400/s', 400],
      ['full', 0],
    ] as const)
      if (`${pair}, ${load}`.includes(values.only))
        measured.push(await measure(pair, load, from, to, perSecond));
  }
} finally {
  for (const end of teardowns.toReversed()) await end();
  await blue15.stop();
  await both18.stop();
}
report();

function near(at: number, marks: readonly { at: number }[]): boolean {
  return marks.some((mark) => Math.abs(at - mark.at) < AROUND_MS / 2);
}

/** The largest in each stretch of as long a time, so that a maximum is held against maxima. */
function largest(list: readonly { at: number; ms: number }[], marks: readonly { at: number }[]): number[] {
  return marks.map((mark) => Math.max(0, ...list.filter(({ at }) => near(at, [mark])).map(({ ms }) => ms)));
}

interface Seen {
  readonly at: number;
  readonly ms: number;
}

interface Bare {
  readonly pauses: readonly number[];
  /** The clients' largest latency around each. */
  readonly clients: readonly number[];
}

/** For how long nobody was acknowledged, around each of the marks. */
function pausesAround(marks: readonly { at: number }[], latencies: readonly Seen[]): number[] {
  const acknowledged = latencies.map(({ at, ms }) => at + ms).toSorted((a, b) => a - b);
  return marks.map((mark) => {
    const times = acknowledged.filter((at) => near(at, [mark]));
    return Math.max(...times.map((at, index) => at - (times[index - 1] ?? at)));
  });
}

/** One run of the tool, then swaps back and forth; half of the bare ones before it, half of them after it. */
async function measure(
  pair: string,
  load: string,
  from: TestServer,
  to: TestServer,
  perSecond: number,
): Promise<Measured> {
  const bare = await barePauses(from, to, perSecond);
  const scene = await liveScene({ teardown: (end) => void teardowns.push(end) }, { from, to, perSecond });
  // Not through this very process, which is busy with being the clients.
  scene.env['ADMIN_URL'] = scene.pooler.admin;
  const { ledger } = scene;
  ledger.start();
  const started = performance.now();
  await must(scene, ['run', 'playbook.yml']);
  const swaps: { at: number }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const command of ['swap-back', 'switch']) {
      await must(scene, [command, '--yes']);
      swaps.push({ at: await movedAt(scene) });
      await sleep(3000);
    }
  }
  const { errors, latencies } = await ledger.stop();
  const seconds = (performance.now() - started) / 1000;
  const after = await barePauses(from, to, perSecond);
  // Between two swaps, before the next one's process starts.
  const quietMarks = swaps.map(({ at }) => ({ at: at + 2000 }));
  return {
    pair,
    load,
    held: await heldTimes(scene),
    pauses: pausesAround(swaps, latencies),
    bare: [...bare.pauses, ...after.pauses],
    inBare: [...bare.clients, ...after.clients],
    inSwitch: largest(latencies, swaps),
    quiet: largest(latencies, quietMarks),
    errors: errors.length,
    problems: await ledger.problems(to, scene.green.name),
    perSecond: latencies.length / seconds,
  };
}

async function must(scene: LiveScene, args: readonly string[]): Promise<void> {
  const { code, err } = await scene.cutover(args);
  if (code !== 0) throw new Error(`cutover ${args.join(' ')} ended with ${code}\n${err}`);
}

/** A switch as it is made by hand, where nothing follows anything: the same load, onto the other database and back. */
async function barePauses(from: TestServer, to: TestServer, perSecond: number): Promise<Bare> {
  const places: string[] = [];
  for (const server of [from, to]) {
    await server.sql(APP_ROLE);
    const name = await server.database('plain');
    await server.sql(
      `${LEDGER_SCHEMA} grant all on all tables in schema public to app; grant all on all sequences in schema public to app`,
      name,
    );
    places.push(`host=127.0.0.1 port=${new URL(server.url()).port} dbname=${name}`);
  }
  const pooler = await pgbouncer([`plain = ${places[0]}`]);
  const ledger = new Ledger(pooler.url('plain'), { perSecond });
  ledger.start();
  const marks: { at: number }[] = [];
  teardowns.push(() => pooler.stop());
  await sleep(3000);
  for (let round = 0; round < rounds; round += 1) {
    marks.push(await barePause(pooler, places[(round + 1) % 2]!));
    await sleep(1500);
  }
  const { errors, latencies } = await ledger.stop();
  if (errors.length > 0) throw new Error(`a bare pause gave errors: ${errors[0]}`);
  return { pauses: pausesAround(marks, latencies), clients: largest(latencies, marks) };
}

/** PAUSE, a file replaced, RELOAD, RESUME, and nothing else; what can be done before it is done before it. */
async function barePause(pooler: Pooler, place: string): Promise<{ at: number }> {
  const target = driver.open(
    { admin: pooler.admin, database: 'plain', file: pooler.file },
    {
      folder: '/',
      database: undefined as never,
      names: { blue: 'a', green: 'b', previous: 'c' },
      renames: true,
      places: undefined,
      resolve: (text) => text,
    },
  );
  await target.hold!.ready();
  const console = await Console.open(pooler.admin);
  const file = await stageFile(pooler.file, `[databases]\nplain = ${place}\n`);
  const at = performance.now();
  await target.hold!.pause(AbortSignal.timeout(5000));
  const { settled } = await file.commit();
  await console.ask('RELOAD');
  await settled;
  await target.hold!.release();
  await console.end();
  await target.end!();
  return { at };
}

interface Written {
  readonly type: string;
  readonly at: string;
  readonly step?: string;
  readonly ms?: number;
  readonly output?: { readonly ms?: number };
}

async function journalOf({ work }: LiveScene): Promise<Written[]> {
  const runs = join(work.folder, '.cutover/runs');
  const [run] = await readdir(runs);
  const text = await readFile(join(runs, run!, 'journal.jsonl'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Written);
}

/** When ownership moved for the last time, in the middle of its pause. */
async function movedAt(scene: LiveScene): Promise<number> {
  const moved = (await journalOf(scene)).findLast(({ type }) => type === 'ownership-moved');
  return Date.parse(moved!.at) - performance.timeOrigin;
}

/** As the journal has them: from PAUSE to RESUME. */
async function heldTimes(scene: LiveScene): Promise<number[]> {
  const found: number[] = [];
  for (const event of await journalOf(scene)) {
    if (event.type === 'swap-back-finished') found.push(event.ms!);
    if (event.type === 'step-succeeded' && event.step === 'switch') found.push(event.output!.ms!);
  }
  return found;
}

function report(): void {
  console.log(
    'write pause: nobody is acknowledged for so long; held: from PAUSE to RESUME, as the journal has it;',
  );
  console.log('clients: their largest latency. Milliseconds, median (largest)\n');
  const columns = 'pair,load,swaps,write pause,bare,times,held,clients then,in bare,quiet,per s'.split(',');
  const widths = [15, 7, 7, 15, 15, 7, 15, 13, 7, 6, 5];
  console.log(columns.map((column, index) => column.padEnd(widths[index]!)).join(' '));
  const figures = measured.map((each) => {
    const [pause, bare] = [median(each.pauses), median(each.bare)];
    const [then, quiet] = [median(each.inSwitch), median(each.quiet)];
    const cell = (list: readonly number[]): string =>
      `${rounded(median(list))} (${rounded(Math.max(...list))})`;
    console.log(
      [
        each.pair.padEnd(15),
        each.load.padEnd(7),
        String(each.held.length).padEnd(7),
        cell(each.pauses).padEnd(15),
        cell(each.bare).padEnd(15),
        (pause / bare).toFixed(2).padEnd(7),
        cell(each.held).padEnd(15),
        String(rounded(then)).padEnd(13),
        String(rounded(median(each.inBare))).padEnd(7),
        String(rounded(quiet)).padEnd(6),
        Math.round(each.perSecond),
      ].join(' '),
    );
    return {
      pair: each.pair,
      load: each.load,
      swaps: each.held.length,
      median_ms: rounded(pause),
      largest_ms: rounded(Math.max(...each.pauses)),
      bare_median_ms: rounded(bare),
      times_bare: Number((pause / bare).toFixed(2)),
      held_median_ms: rounded(median(each.held)),
      clients_largest_ms: rounded(then),
      bare_clients_largest_ms: rounded(median(each.inBare)),
      quiet_largest_ms: rounded(quiet),
      clients_times_quiet: Number((then / quiet).toFixed(2)),
      per_second: Math.round(each.perSecond),
      errors: each.errors,
      problems: each.problems,
    };
  });
  const met = figures.every(
    (each) =>
      each.median_ms <= GOALS.median_ms &&
      each.times_bare <= GOALS.times_bare &&
      each.largest_ms <= GOALS.largest_ms &&
      each.clients_times_quiet <= GOALS.clients_times_quiet &&
      each.errors === GOALS.errors &&
      each.problems.length === GOALS.lost,
  );
  console.log(JSON.stringify({ bench: 'switch', figures, goals: GOALS, met }));
}
