import { execFileSync } from 'node:child_process';
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import * as fc from 'fast-check';
import type { Event, EventBody } from '../src/core/event.ts';
import type { Plan, PlannedStep } from '../src/core/plan.ts';
import { fold, IllegalTransitionError, transition, type RunState } from '../src/journal/fold.ts';
import { FileJournalStore } from '../src/journal/file.ts';
import { JournalError } from '../src/journal/journal.ts';
import { addSecret } from '../src/util/redact.ts';

const step = (id: string, kind: PlannedStep['kind']): PlannedStep => ({
  id,
  kind,
  title: id,
  does: [],
  undo: '',
  ownership: kind === 'switch' ? 'moves' : 'keeps',
  input: {},
});

const plan = {
  format: 1,
  name: 'shop',
  run: 'r1',
  playbook: { file: '/p.yml', folder: '/', sha256: '' },
  source: { kind: 'url', url: '${DATABASE_URL}' },
  names: { blue: 'shop', green: 'shop_green', previous: 'shop_previous' },
  renames: true,
  migrate: [],
  verify: [],
  targets: [],
  expect: { renamed: {}, dropped: [], changed: [] },
  steps: [
    step('preflight', 'preflight'),
    step('fence', 'fence'),
    step('clone', 'clone'),
    step('switch', 'switch'),
  ],
} as unknown as Plan;

const created: EventBody = { type: 'run-created', run: 'r1', operator: 'me', plan };
const error = { message: 'no', kind: 'StepError' };

async function store(t: ExecutionContext): Promise<{ store: FileJournalStore; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-test-journal-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return { store: new FileJournalStore(folder), folder };
}

const journalFile = (folder: string): string => join(folder, 'runs', 'r1', 'journal.jsonl');

test('events are numbered without gaps, also when many are appended at once', async (t) => {
  const { store: journals } = await store(t);
  const journal = await journals.create('r1');
  await journal.append(created);
  await Promise.all(
    Array.from({ length: 50 }, () => journal.append({ type: 'step-started', step: 'fence' })),
  );
  await journal.close();
  t.deepEqual(
    (await journals.read('r1')).map(({ seq }) => seq),
    Array.from({ length: 51 }, (_, index) => index + 1),
  );
  t.deepEqual(await journals.list(), ['r1']);
});

test('a run is made once', async (t) => {
  const { store: journals } = await store(t);
  await (await journals.create('r1')).close();
  await t.throwsAsync(journals.create('r1'), { name: 'RefusedError' });
});

test('wherever a crash tears the file, the whole lines before it are read and the next append fits on', async (t) => {
  const { store: journals, folder } = await store(t);
  const journal = await journals.create('r1');
  await journal.append(created);
  await journal.append({ type: 'step-started', step: 'preflight' });
  await journal.append({ type: 'step-succeeded', step: 'preflight', ms: 1, output: { words: 'ünï\ncode' } });
  await journal.close();
  const whole = await readFile(journalFile(folder));
  const ends = [...whole.keys()].filter((index) => whole[index] === 10);
  for (let length = 0; length <= whole.length; length += 7) {
    await writeFile(journalFile(folder), whole.subarray(0, length));
    const complete = ends.filter((end) => end < length).length;
    t.is((await journals.read('r1')).length, complete, `torn after ${length} bytes`);
    const opened = await journals.open('r1');
    t.is((await opened.append({ type: 'undo-started', step: 'fence' })).seq, complete + 1);
    await opened.close();
    t.is((await journals.read('r1')).length, complete + 1);
  }
});

test('a damaged line in the middle is an error that names it, not a shorter run', async (t) => {
  const { store: journals, folder } = await store(t);
  const journal = await journals.create('r1');
  await journal.append(created);
  await journal.append({ type: 'step-started', step: 'preflight' });
  await journal.close();
  const text = await readFile(journalFile(folder), 'utf8');
  await writeFile(journalFile(folder), text.replace('{"seq":2', '{"seq":3'));
  await t.throwsAsync(journals.read('r1'), { instanceOf: JournalError, message: /damaged at line 2/ });
  await writeFile(journalFile(folder), `${text}not json\n${text}`);
  await t.throwsAsync(journals.open('r1'), { instanceOf: JournalError, message: /damaged at line 3/ });
});

test('secrets do not reach the file, and what a plan is executed from stays to the letter', async (t) => {
  const { store: journals, folder } = await store(t);
  addSecret('hush-42');
  addSecret('shop_green');
  const journal = await journals.create('r1');
  await journal.append(created);
  await journal.append({
    type: 'step-failed',
    step: 'x',
    ms: 1,
    error: { message: 'said hush-42', kind: 'E' },
  });
  await journal.close();
  const text = await readFile(journalFile(folder), 'utf8');
  t.notRegex(text, /hush-42/);
  t.regex(text, /"green":"shop_green"/);
});

test('a folder that cannot be written refuses the run', async (t) => {
  const { folder } = await store(t);
  await writeFile(join(folder, 'runs'), 'a file where the folder should be');
  await t.throwsAsync(new FileJournalStore(folder).create('r1'), {
    name: 'RefusedError',
    message: /cannot make the journal/,
  });
});

const tmpfs = (() => {
  try {
    const folder = execFileSync('mktemp', ['-d', join(tmpdir(), 'cutover-test-tmpfs-XXXXXX')], {
      encoding: 'utf8',
    }).trim();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], { stdio: 'ignore' });
    return folder;
  } catch {
    return undefined;
  }
})();
test.after.always(async () => {
  if (!tmpfs) return;
  execFileSync('umount', [tmpfs]);
  await rm(tmpfs, { recursive: true });
});

(tmpfs ? test : test.skip)(
  `a full disk is a JournalError, and what was written before stays readable${tmpfs ? '' : ' (SKIPPED: no right to mount a tmpfs)'}`,
  async (t) => {
    const journals = new FileJournalStore(tmpfs!);
    const journal = await journals.create('r1');
    await journal.append(created);
    const big: EventBody = { type: 'step-succeeded', step: 'x', ms: 1, output: { text: 'x'.repeat(9000) } };
    const failure = await t.throwsAsync(
      (async () => {
        for (let index = 0; index < 20; index += 1) await journal.append(big);
      })(),
      { instanceOf: JournalError, message: /cannot be written: ENOSPC/ },
    );
    t.regex(failure.hint ?? '', /room on the disk/);
    const kept = await journals.read('r1');
    t.true(kept.length > 1 && kept.length < 20);
    await journal.close();
  },
);

const root = process.getuid?.() === 0;
(root ? test.skip : test)(
  `a journal that may not be written is an error${root ? ' (SKIPPED: root may write everything)' : ''}`,
  async (t) => {
    const { store: journals, folder } = await store(t);
    await mkdir(join(folder, 'runs', 'r1'), { recursive: true });
    await writeFile(journalFile(folder), '');
    await chmod(journalFile(folder), 0o400);
    await t.throwsAsync(journals.open('r1'));
  },
);

// --- fold ---

const stamp = (bodies: readonly EventBody[]): Event[] =>
  bodies.map((body, index) => ({ ...body, seq: index + 1, at: new Date(index * 1000).toISOString() }));

const wholeLife: readonly EventBody[] = [
  created,
  ...(['preflight', 'fence', 'clone'] as const).flatMap((id): EventBody[] => [
    { type: 'step-started', step: id },
    { type: 'step-succeeded', step: id, ms: 5, output: { id } },
  ]),
  { type: 'step-started', step: 'switch' },
  { type: 'ownership-moved', from: 'blue', to: 'green' },
  { type: 'step-succeeded', step: 'switch', ms: 5, output: {} },
  { type: 'run-finished', outcome: 'completed', exit: 0 },
  { type: 'swap-back-started', operator: 'me', acceptDataLoss: false },
  { type: 'ownership-moved', from: 'green', to: 'blue' },
  { type: 'swap-back-finished', ms: 5, leftBehind: [] },
  { type: 'retire-started', operator: 'me', database: 'shop_green' },
  { type: 'retire-finished', database: 'shop_green' },
];

test('every beginning of a whole life folds, and its end is retired with blue live', (t) => {
  const phases = wholeLife.map((_, index) => fold(stamp(wholeLife.slice(0, index + 1))).phase);
  t.deepEqual(
    [...new Set(phases)],
    ['running', 'completed', 'swapping back', 'swapped back', 'retiring', 'retired'],
  );
  const end = fold(stamp(wholeLife));
  t.is(end.live, 'blue');
  t.is(end.retired, 'shop_green');
  t.deepEqual(end.steps['clone']!.output, { id: 'clone' });
});

test('a failed run unwinds, gets stuck, and is unwound again later', (t) => {
  const events: EventBody[] = [
    created,
    { type: 'step-started', step: 'preflight' },
    { type: 'step-succeeded', step: 'preflight', ms: 1, output: {} },
    { type: 'step-started', step: 'fence' },
    { type: 'step-failed', step: 'fence', ms: 1, error },
    { type: 'undo-started', step: 'fence' },
    { type: 'undo-failed', step: 'fence', error },
    { type: 'run-finished', outcome: 'stuck', exit: 7, error },
    { type: 'undo-started', step: 'fence' },
    { type: 'undo-finished', step: 'fence' },
    { type: 'run-finished', outcome: 'unwound', exit: 4 },
  ];
  t.is(fold(stamp(events.slice(0, 8))).phase, 'stuck');
  const end = fold(stamp(events));
  t.is(end.phase, 'unwound');
  t.is(end.steps['fence']!.phase, 'undone');
});

const illegal: readonly [string, readonly EventBody[]][] = [
  ['a second beginning', [created, created]],
  ['no beginning', [{ type: 'step-started', step: 'fence' }]],
  ['an unknown step', [created, { type: 'step-started', step: 'nobody' }]],
  ['success without a start', [created, { type: 'step-succeeded', step: 'fence', ms: 1, output: {} }]],
  ['an undo of what never began', [created, { type: 'undo-started', step: 'fence' }]],
  ['ownership moved from the wrong side', [created, { type: 'ownership-moved', from: 'green', to: 'blue' }]],
  [
    'a step after the end',
    [
      created,
      { type: 'run-finished', outcome: 'completed', exit: 0 },
      { type: 'step-started', step: 'fence' },
    ],
  ],
  [
    'a swap back of a run that goes on',
    [created, { type: 'swap-back-started', operator: 'me', acceptDataLoss: false }],
  ],
  [
    'a resume over a step that was not done',
    [created, { type: 'run-resumed', operator: 'me', from: 'clone', found: [] }],
  ],
  [
    'a resume of a run that failed',
    [
      created,
      { type: 'step-started', step: 'preflight' },
      { type: 'step-failed', step: 'preflight', ms: 1, error },
      { type: 'run-resumed', operator: 'me', from: 'preflight', found: [] },
    ],
  ],
  [
    'a resume before the switch of a run that has moved',
    [...wholeLife.slice(0, 9), { type: 'run-resumed', operator: 'me', from: 'clone', found: [] }],
  ],
  [
    'a retry of a step that is not under way',
    [created, { type: 'step-retried', step: 'fence', attempt: 1, waitMs: 1, error }],
  ],
  ['retiring a run that goes on', [created, { type: 'retire-started', operator: 'me', database: 'x' }]],
  [
    'a swap back that is finished with green live',
    [
      ...wholeLife.slice(0, 11),
      { type: 'swap-back-started', operator: 'me', acceptDataLoss: false },
      { type: 'swap-back-finished', ms: 1, leftBehind: [] },
    ],
  ],
];
for (const [what, bodies] of illegal) {
  test(`${what} is an illegal transition`, (t) => {
    t.throws(() => fold(stamp(bodies)), { instanceOf: IllegalTransitionError });
  });
}

const IDS = ['preflight', 'fence', 'clone', 'switch'] as const;

/** Every event that there is, for every step and side. */
const everything: readonly EventBody[] = [
  ...[...IDS, 'nobody'].flatMap((step): EventBody[] => [
    { type: 'step-started', step },
    { type: 'step-retried', step, attempt: 1, waitMs: 1, error },
    { type: 'step-progressed', step, done: 1, total: 2, unit: 'rows' },
    { type: 'step-succeeded', step, ms: 1, output: {} },
    { type: 'step-failed', step, ms: 1, error },
    { type: 'undo-started', step },
    { type: 'undo-finished', step },
    { type: 'undo-failed', step, error },
    { type: 'gate-opened', step, question: '?' },
    { type: 'gate-answered', step, answer: 'go', by: 'me' },
    { type: 'run-resumed', operator: 'me', from: step, found: [] },
  ]),
  { type: 'ownership-moved', from: 'blue', to: 'green' },
  { type: 'ownership-moved', from: 'green', to: 'blue' },
  ...(['completed', 'unwound', 'refused', 'stuck'] as const).map((outcome): EventBody => ({
    type: 'run-finished',
    outcome,
    exit: 0,
  })),
  { type: 'swap-back-started', operator: 'me', acceptDataLoss: true },
  { type: 'swap-back-counted', leftBehind: ['a row'] },
  { type: 'swap-back-finished', ms: 1, leftBehind: [] },
  { type: 'swap-back-failed', error, settled: true },
  { type: 'swap-back-failed', error, settled: false },
  { type: 'retire-started', operator: 'me', database: 'x' },
  { type: 'retire-finished', database: 'x' },
  { type: 'retire-failed', error },
];

/** The state after an event, or undefined when it cannot come there. */
function after(state: RunState, body: EventBody, seq: number): RunState | undefined {
  try {
    return transition(state, { ...body, seq, at: '2026-11-20T00:00:00.000Z' });
  } catch (thrown) {
    if (thrown instanceof IllegalTransitionError) return undefined;
    throw thrown;
  }
}

const ENDED = ['retired', 'unwound', 'refused'];
const phaseOf = (state: RunState, id: string): string => state.steps[id]!.phase;

/** What no transition may ever do; a line about what it did, or undefined. */
function breach(before: RunState, event: EventBody, next: RunState): string | undefined {
  if (ENDED.includes(before.phase)) return `an ended run went on with ${event.type}`;
  if (next.live !== before.live && event.type !== 'ownership-moved') return 'ownership moved by itself';
  if (next.phase === 'swapped back' && next.live !== 'blue') return 'swapped back, and green is live';
  if (event.type === 'swap-back-failed' && event.settled && next.phase !== 'completed') return 'not settled';
  for (const id of IDS) {
    const [was, is] = [phaseOf(before, id), phaseOf(next, id)];
    if (is === 'done' && was !== 'done' && was !== 'running') return `${id} was done without being begun`;
    if (was !== 'waiting' && is === 'waiting') return `${id} was begun, and nobody knows any more`;
  }
  if (event.type !== 'run-resumed') return undefined;
  const at = IDS.indexOf(event.from as (typeof IDS)[number]);
  const moving = IDS.indexOf('switch');
  if (IDS.slice(0, at).some((id) => phaseOf(next, id) !== 'done'))
    return 'resumed over a step that was not done';
  if (IDS.slice(at).some((id) => !['waiting', 'again'].includes(phaseOf(next, id)))) return 'not begun anew';
  if (next.live === 'blue' ? at > moving : at < moving) return 'resumed on the wrong side of the switch';
  return undefined;
}

test('whatever comes, a state is legal or the transition throws', (t) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...everything), { maxLength: 80 }), (bodies) => {
      let state: RunState = fold(stamp([created]));
      for (const [index, body] of bodies.entries()) {
        const next = after(state, body, index + 2);
        if (!next) continue;
        const broken = breach(state, body, next);
        if (broken) throw new Error(broken);
        state = next;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

/** A long life in which every event may come where it does: the numbers choose among those that may. */
function walk(choices: readonly number[]): Event[] {
  const bodies: EventBody[] = [created];
  let state = fold(stamp(bodies));
  for (const choice of choices) {
    const legal = everything.filter((body) => after(state, body, bodies.length + 1) !== undefined);
    if (legal.length === 0) break;
    const body = legal[choice % legal.length]!;
    const next = after(state, body, bodies.length + 1)!;
    const broken = breach(state, body, next);
    if (broken) throw new Error(broken);
    bodies.push(body);
    state = next;
  }
  return stamp(bodies);
}

const choices = fc.array(fc.nat(1000), { maxLength: 60 });

test('long legal lives keep every promise, and every beginning of one folds to where it came from', (t) => {
  fc.assert(
    fc.property(choices, fc.nat(60), (numbers, cut) => {
      const events = walk(numbers);
      // A crash leaves the journal at any event: what was folded up to there is the state, and going on gives the rest.
      const beginning = events.slice(0, Math.max(1, Math.min(cut, events.length)));
      const on = events.slice(beginning.length).reduce(transition, fold(beginning));
      if (!isDeepStrictEqual(on, fold(events))) throw new Error('folding in two parts gives something else');
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('two processes that write by turns are found out, or break nothing', (t) => {
  fc.assert(
    fc.property(choices, choices, fc.array(fc.boolean(), { maxLength: 120 }), (one, two, turns) => {
      const [first, second] = [walk(one).slice(1), walk(two).slice(1)];
      let state = fold(stamp([created]));
      for (const [index, turn] of turns.entries()) {
        const event = turn ? first.shift() : second.shift();
        if (!event) continue;
        const next = after(state, event, index + 2);
        if (!next) return;
        const broken = breach(state, event, next);
        if (broken) throw new Error(broken);
        state = next;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('a resumed run executes its steps once more, and takes back what was begun before', (t) => {
  const events: EventBody[] = [
    ...wholeLife.slice(0, 7),
    { type: 'run-resumed', operator: 'you', from: 'fence', found: ['blue accepts connections'] },
  ];
  const state = fold(stamp(events));
  t.deepEqual(
    IDS.map((id) => phaseOf(state, id)),
    ['done', 'again', 'again', 'waiting'],
  );
  t.deepEqual(
    state.resumed.map(({ operator }) => operator),
    ['you'],
  );
  const undone = fold(
    stamp([...events, { type: 'undo-started', step: 'clone' }, { type: 'undo-finished', step: 'clone' }]),
  );
  t.is(phaseOf(undone, 'clone'), 'undone');
});

test('a journal that was appended to behind our back is noticed by its numbers', async (t) => {
  const { store: journals, folder } = await store(t);
  const journal = await journals.create('r1');
  await journal.append(created);
  await journal.close();
  await appendFile(
    journalFile(folder),
    `${JSON.stringify({ seq: 1, at: '', type: 'step-started', step: 'fence' })}\n`,
  );
  await t.throwsAsync(journals.read('r1'), { instanceOf: JournalError });
});
