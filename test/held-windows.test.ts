import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { refuseEnded } from '../src/commands/approvals/approving.ts';
import { fold, type RunState } from '../src/journal/fold.ts';
import { FileJournalStore } from '../src/journal/file.ts';
import { createEnvironment } from '../src/playbook/values/environment.ts';
import { heldRun } from '../src/schedule/held.ts';
import { leftRuns } from '../src/schedule/left.ts';
import { beat, type Scheduling } from '../src/schedule/schedule.ts';
import { eventsOf, workplace, type Outcome, type Workplace } from './helpers/cli.ts';
import { liveSuite } from './helpers/live-suite.ts';
import type { LiveScene } from './helpers/live-scene.ts';
import { appears } from './helpers/until.ts';

const { test, title, server, scene, leftovers } = liveSuite();

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const soon = (ms: number): string => new Date(Date.now() + ms).toISOString();

const phaseOf = async (work: Workplace): Promise<string> => fold(await eventsOf(work)).phase;

/** A scheduler with a clock of its own, whose commands are made for real. */
class Clock {
  now = Date.now();
  readonly said: string[] = [];
  readonly told: string[] = [];
  readonly made: { words: readonly string[]; outcome: Outcome }[] = [];
  readonly #scheduling: Scheduling;

  constructor({ work, env }: LiveScene) {
    const state = join(work.folder, '.cutover');
    const store = new FileJournalStore(state);
    this.#scheduling = {
      places: [join(work.folder, 'playbook.yml')],
      env: createEnvironment(env),
      stateFolder: state,
      signal: new AbortController().signal,
      now: () => this.now,
      jobs: 1,
      held: (name) => heldRun(store, name),
      left: (names) => leftRuns(store, names),
      command: async (words) => {
        const outcome = await work.cutover(words, env);
        this.made.push({ words, outcome });
        return outcome.code;
      },
      unsettled: true,
      tell: (_playbook, untold) => this.told.push(untold.kind),
      onBeat: () => undefined,
      known: new Map(),
      say: (line) => this.said.push(line),
    };
  }

  /** Looks once; gives the words and the outcome of what was made. */
  async look(): Promise<{ words: readonly string[]; outcome: Outcome } | undefined> {
    const before = this.made.length;
    await beat(this.#scheduling);
    return this.made[before];
  }
}

/** Opens at a whole hour, so many hours from the one that it is. */
const at = (hours: number): string => {
  const date = new Date(Date.now() + hours * HOUR_MS);
  return `0 ${date.getUTCHours()} ${date.getUTCDate()} ${date.getUTCMonth() + 1} *`;
};

test(title('prepared in one window and switched in another, while clients write'), async (t) => {
  const made = await scene(t, {
    head: [
      'sync: logical',
      'window:',
      `  - { cron: "${at(0)}", timezone: UTC, duration: 3h, only: prepare }`,
      `  - { cron: "${at(4)}", timezone: UTC, duration: 1h, only: prepare }`,
      `  - { cron: "${at(48)}", timezone: UTC, duration: 2h }`,
    ].join('\n'),
  });
  const { work, env, ledger, green } = made;
  const clock = new Clock(made);
  ledger.start();
  const first = await clock.look();
  t.is(first?.words[0], 'run');
  t.true(first?.words.includes('--prepare'));
  t.is(first?.outcome.code, 0, first?.outcome.err);
  t.is(await phaseOf(work), 'held');
  t.is(await clock.look(), undefined, 'a window is used once');
  clock.now += 4 * HOUR_MS;
  t.is(await clock.look(), undefined, 'another one for preparing has nothing to do');
  t.regex(clock.said.join('\n'), /waits already for a window that is for the switch/);
  clock.now += 44 * HOUR_MS;
  const second = await clock.look();
  t.deepEqual(second?.words.slice(0, 1), ['resume']);
  t.is(second?.outcome.code, 0, second?.outcome.err);
  const { errors } = await ledger.stop();
  t.deepEqual(errors, []);
  t.deepEqual(await ledger.problems(server(), green.name), []);
  const state = fold(await eventsOf(work));
  t.is(state.phase, 'completed');
  t.regex(state.window ?? '', /UTC$/);
  t.deepEqual(clock.told, []);
  const runs = await work.cutover(['runs'], env);
  t.regex(runs.out, /completed/);
});

test(title('time that runs out in verify holds the run for the next window, or puts it back'), async (t) => {
  const made = await scene(t, {
    head: [
      'sync: logical',
      `window: { cron: "${at(0).replace(/ \d+ \d+ \*$/, ' * * *')}", timezone: UTC, duration: 2h, too-short: hold }`,
      'verify: [checksums, command: { run: "test -e quick || { touch verifying; sleep 120; }", timeout: 5m }]',
    ].join('\n'),
  });
  const { work, env, ledger, green, blue } = made;
  ledger.start();
  t.is((await work.cutover(['run', 'playbook.yml', '--too-short', 'hold'], env)).code, 2);
  // Prepared first, so that what is to be cut short comes soon.
  const { child, done } = work.start(['run', 'playbook.yml'], env);
  await appears(join(work.folder, 'verifying'));
  child.kill('SIGKILL');
  await done;
  const cut = await work.cutover(
    ['resume', '--until', soon(14_000), '--too-short', 'hold', '--window', 'x'],
    env,
  );
  t.is(cut.code, 8, cut.err);
  t.regex(cut.err, /everything has to be over by .* and the switch needs/);
  t.is(await phaseOf(work), 'held');
  await work.file('quick', '');
  const clock = new Clock(made);
  clock.now += DAY_MS;
  const next = await clock.look();
  t.is(next?.words[0], 'resume');
  t.true(next?.words.includes('hold'));
  t.is(next?.outcome.code, 0, next?.outcome.err);
  const { errors } = await ledger.stop();
  t.deepEqual(errors, []);
  t.deepEqual(await ledger.problems(server(), green.name), []);
  t.is((await work.cutover(['swap-back', '--yes'], env)).code, 0);
  t.is((await work.cutover(['retire', '--confirm', green.name], env)).code, 0);
  t.deepEqual(await leftovers(blue.name), []);
});

test(
  title('time that runs out before green follows puts everything back, whatever the window says'),
  async (t) => {
    const { work, env, blue } = await scene(t, {
      head: 'sync: logical\nhooks: [{ before: migrate, run: sleep 60, timeout: 2m }]',
    });
    const until = new Date(Date.now() + 15_000).toISOString();
    const ran = await work.cutover(['run', 'playbook.yml', '--until', until, '--too-short', 'hold'], env);
    t.is(ran.code, 4, ran.err);
    t.is(await phaseOf(work), 'unwound');
    t.deepEqual(await leftovers(blue.name), []);
  },
);

test(title('what a person has to decide is not decided by a window'), async (t) => {
  const made = await scene(t, {
    head: [
      'sync: logical',
      `window: { cron: "${at(0).replace(/ \d+ \d+ \*$/, ' * * *')}", timezone: UTC, duration: 2h }`,
      'verify: [sql: { query: select count(*) from missing, equals: 1 }]',
      'on-failure: { verify: hold }',
    ].join('\n'),
    sql: 'create table missing (id int primary key);',
  });
  const { work, env } = made;
  const clock = new Clock(made);
  t.is((await clock.look())?.outcome.code, 8);
  clock.now += DAY_MS;
  t.is(await clock.look(), undefined);
  t.regex(clock.said.join('\n'), /nothing is begun: run \S+ is held since a step of it failed/);
  t.deepEqual(clock.told, ['held']);
  const used = await readFile(join(work.folder, '.cutover/windows/shop.json'), 'utf8');
  t.is(used.match(/"exit": ?8/g)?.length, 2);
  // A run that a person prepared, and whose playbook was mended since, is not what the new text says.
  t.is((await work.cutover(['abort'], env)).code, 0);
  await work.file(
    'playbook.yml',
    (await readFile(join(work.folder, 'playbook.yml'), 'utf8')).replace('equals: 1', 'equals: 0'),
  );
  const prepared = await work.cutover(['run', 'playbook.yml', '--prepare'], env);
  t.is(prepared.code, 0, prepared.err);
  await work.file('playbook.yml', `${await readFile(join(work.folder, 'playbook.yml'), 'utf8')}# mended\n`);
  clock.now += DAY_MS;
  t.is(await clock.look(), undefined);
  t.regex(clock.said.at(-1) ?? '', /the run ended|the playbook has been changed since it was begun/);
  t.is((await work.cutover(['abort'], env)).code, 0);
});

test('a journal that is damaged keeps no window from being used', async (t) => {
  const work = await workplace(t);
  const folder = join(work.folder, 'state/runs/20261120-234205-0173fa');
  await mkdir(folder, { recursive: true });
  // In an order that cannot be.
  await writeFile(
    join(folder, 'journal.jsonl'),
    '{"seq":1,"at":"2026-11-20T23:42:05.000Z","type":"step-started","step":"clone"}\n',
  );
  const store = new FileJournalStore(join(work.folder, 'state'));
  t.deepEqual(await store.list(), ['20261120-234205-0173fa']);
  t.is(await heldRun(store, 'shop'), undefined);
});

test('an approval that has ended is none for the switch of a run that was held meanwhile', async (t) => {
  const work = await workplace(t);
  const store = new FileJournalStore(join(work.folder, 'state'));
  const approval = { id: 'a', by: 'ana@ops1', at: '2026-11-20T00:00:00Z', until: '2026-11-21T00:00:00Z' };
  const state = { run: 'r', live: 'blue', plan: { name: 'shop', live: {} }, approval } as unknown as RunState;
  await t.throwsAsync(refuseEnded(store, state), { message: /ended at 2026-11-21T00:00:00Z/ });
  // Where blue is closed, or green is live, the way forward is not barred.
  await t.notThrowsAsync(refuseEnded(store, { ...state, live: 'green' }));
  await t.notThrowsAsync(refuseEnded(store, { ...state, plan: { ...state.plan, live: undefined } }));
});
