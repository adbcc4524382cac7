import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { Approval } from '../../src/core/approval.ts';
import type { EventBody } from '../../src/core/event.ts';
import { RefusedError, UsageError } from '../../src/core/errors.ts';
import { JournalError, type JournalStore } from '../../src/journal/journal.ts';
import { addSecret } from '../../src/util/redact.ts';
import { root } from './cli.ts';

/** One kind of store, as the contract sees it. */
export interface Subject {
  readonly name: string;
  /** A store on a place of its own; the other one it gives is on the same place. */
  open(): Promise<{ store: JournalStore; other: JournalStore; place: string }>;
  /** Lets somebody else append an event, past every lock. */
  intrude(place: string, run: string, seq: number): Promise<void>;
  /** Makes every append fail as on a full disk, until what it gives is called. */
  fill(place: string, run: string): Promise<() => Promise<void>>;
}

export const event = (step: string): EventBody => ({ type: 'step-started', step });

const approval = (name: string, id: string): Approval => ({
  format: 1,
  id,
  name,
  by: 'ana@ops1',
  at: '2026-11-20T23:42:05.429Z',
  until: '2026-11-27T23:42:05.429Z',
  approved: {
    playbook: 'a',
    settings: { verify: 'b' },
    migrations: { '1 V001__odd \u{1F600}\u0000.sql': 'c' },
    schema: { fingerprint: 'd', objects: { 'table public."a.b"': 'e' } },
    places: {},
    version: '0.1.0',
    warnings: ['it\'s "odd"'],
  },
  digest: 'f',
});

const HOLDER = `
const { FileJournalStore } = await import(process.argv[1] + '/src/journal/file.ts');
const { PostgresJournalStore } = await import(process.argv[1] + '/src/journal/postgres/store.ts');
const place = process.argv[2];
const store = place.includes('://') ? new PostgresJournalStore(place) : new FileJournalStore(place);
const journal = await store.open('run-1');
await journal.append({ type: 'step-started', step: 'held' });
process.stdout.write('held\\n');
setInterval(() => {}, 1000);
`;

/** What every store of journals promises. */
export function journalContract(subject: Subject): void {
  const { name } = subject;

  test(`${name}: events are numbered without gaps, also when many are appended at once`, async (t) => {
    const { store, other } = await subject.open();
    const journal = await store.create('run-1');
    const written = await Promise.all(
      Array.from({ length: 40 }, (_, index) => journal.append(event(`s${index}`))),
    );
    t.deepEqual(
      written.map(({ seq }) => seq),
      written.map((_, index) => index + 1),
    );
    // Read by somebody else while it is held.
    t.deepEqual(await other.read('run-1'), written);
    t.deepEqual(await journal.read(), written);
    await journal.close();
    const again = await other.open('run-1');
    t.is((await again.append(event('next'))).seq, 41);
    await again.close();
    t.deepEqual(await store.list(), ['run-1']);
  });

  test(`${name}: a run is made once, and one that is not there cannot be opened`, async (t) => {
    const { store, other } = await subject.open();
    t.deepEqual(await store.list(), []);
    await t.throwsAsync(() => store.read('run-1'), { instanceOf: UsageError, message: /no run run-1/ });
    await t.throwsAsync(() => store.open('run-1'), { instanceOf: UsageError, message: /no run run-1/ });
    const journal = await store.create('run-2');
    await (await store.create('run-1')).close();
    await t.throwsAsync(() => other.create('run-2'), { instanceOf: RefusedError });
    t.is((await journal.append(event('first'))).seq, 1);
    await journal.close();
    t.deepEqual(await other.list(), ['run-1', 'run-2']);
  });

  test(`${name}: one holds a journal, and the other is told who`, async (t) => {
    const { store, other } = await subject.open();
    const journal = await store.create('run-1');
    const holder = new RegExp(`pid ${process.pid} on `);
    await t.throwsAsync(() => other.open('run-1'), { instanceOf: RefusedError, message: holder });
    t.regex((await other.writer('run-1'))!, holder);
    t.is((await journal.append(event('mine'))).seq, 1);
    await journal.close();
    t.is(await other.writer('run-1'), undefined);
    const next = await other.open('run-1');
    t.is((await next.append(event('theirs'))).seq, 2);
    await next.close();
  });

  test(`${name}: many that open at once: at most one has it`, async (t) => {
    const { store, other } = await subject.open();
    await (await store.create('run-1')).close();
    for (let round = 0; round < 5; round += 1) {
      const opened = await Promise.allSettled(
        Array.from({ length: 6 }, (_, index) => (index % 2 ? store : other).open('run-1')),
      );
      const held = opened.filter((result) => result.status === 'fulfilled');
      t.true(held.length <= 1, `${held.length} have it`);
      for (const { value } of held) await value.close();
    }
    await (await store.open('run-1')).close();
  });

  test(`${name}: a dead process holds nothing`, async (t) => {
    const { store, place } = await subject.open();
    await (await store.create('run-1')).close();
    const child = spawn(process.execPath, ['--input-type=module', '-e', HOLDER, '--', root, place], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    t.regex((await store.writer('run-1'))!, new RegExp(`pid ${child.pid} on `));
    await t.throwsAsync(() => store.open('run-1'), { instanceOf: RefusedError });
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    while ((await store.writer('run-1')) !== undefined) await sleep(20);
    const journal = await store.open('run-1');
    t.deepEqual(
      (await journal.read()).map(({ seq }) => seq),
      [1],
    );
    t.is((await journal.append(event('after'))).seq, 2);
    await journal.close();
  });

  test(`${name}: who was written past notices, and writes no more`, async (t) => {
    const { store, place } = await subject.open();
    const journal = await store.create('run-1');
    await journal.append(event('mine'));
    await subject.intrude(place, 'run-1', 2);
    await t.throwsAsync(() => journal.append(event('late')), {
      instanceOf: JournalError,
      message: /somebody else wrote/,
    });
    t.is((await store.read('run-1')).length, 2);
    await journal.close();
  });

  test(`${name}: on a full disk the event is not there, and the next one fits on`, async (t) => {
    const { store, place } = await subject.open();
    const journal = await store.create('run-1');
    await journal.append(event('before'));
    const free = await subject.fill(place, 'run-1');
    await t.throwsAsync(() => journal.append(event('lost')), {
      instanceOf: JournalError,
      message: /cannot be written/,
    });
    await free();
    t.is((await journal.append(event('after'))).seq, 2);
    const steps = (await store.read('run-1')).map((each) => (each as { step: string }).step);
    t.deepEqual(steps, ['before', 'after']);
    await journal.close();
  });

  test(`${name}: texts come back to the letter, and secrets do not`, async (t) => {
    const { store } = await subject.open();
    const journal = await store.create('run-1');
    const odd = `'"\\ \u0000 \u2028 ☕ 𝄞 \ud800 $$ \r\n`;
    addSecret('contract-sesame');
    await journal.append({
      type: 'undo-failed',
      step: odd,
      error: { message: 'the contract-sesame', kind: odd },
    });
    await journal.close();
    const [read] = await store.read('run-1');
    t.like(read, { step: odd, error: { message: 'the ***', kind: odd } });
  });

  test(`${name}: a run is removed whole, and never while somebody holds it`, async (t) => {
    const { store, other } = await subject.open();
    await t.throwsAsync(() => store.remove('run-1'), { instanceOf: UsageError });
    const journal = await store.create('run-1');
    await journal.append(event('mine'));
    await store.post('run-1', { kind: 'abort', by: 'bo@ops2', seq: 1 });
    await (await store.create('run-2')).close();
    const holder = new RegExp(`pid ${process.pid} on `);
    await t.throwsAsync(() => other.remove('run-1'), { instanceOf: RefusedError, message: holder });
    t.is((await journal.append(event('still mine'))).seq, 2);
    await journal.close();
    await other.remove('run-1');
    t.deepEqual(await store.list(), ['run-2']);
    await t.throwsAsync(() => store.read('run-1'), { instanceOf: UsageError });
    // Nothing of it is left that would be found under the same name.
    const again = await store.create('run-1');
    t.deepEqual(await again.read(), []);
    t.deepEqual(await store.requests('run-1'), []);
    await again.close();
  });

  test(`${name}: the latest approval of a playbook is kept, and taken back`, async (t) => {
    const { store, other } = await subject.open();
    t.is(await store.approval('shop'), undefined);
    t.false(await store.disapprove('shop'));
    t.deepEqual(await store.approvals(), []);
    await store.approve(approval('shop', 'first'));
    await other.approve(approval('..', 'dots'));
    t.deepEqual(await other.approval('shop'), approval('shop', 'first'));
    await other.approve({ ...approval('shop', 'second'), signature: 'ab' });
    t.deepEqual(await store.approval('shop'), { ...approval('shop', 'second'), signature: 'ab' });
    t.deepEqual(await store.approval('..'), approval('..', 'dots'));
    t.deepEqual(await store.approvals(), ['..', 'shop']);
    t.true(await store.disapprove('shop'));
    t.deepEqual(await other.approvals(), ['..']);
    t.is(await other.approval('shop'), undefined);
    t.false(await other.disapprove('shop'));
    // Approvals are no runs.
    t.deepEqual(await store.list(), []);
  });

  test(`${name}: requests are left, heard in their order, and taken back`, async (t) => {
    const { store, other } = await subject.open();
    const journal = await store.create('run-1');
    t.deepEqual(await other.requests('run-1'), []);
    const answer = await store.post('run-1', {
      kind: 'answer',
      step: 'gate',
      answer: 'go',
      by: 'ana@ops1',
      seq: 7,
    });
    await sleep(1100);
    const abort = await store.post('run-1', { kind: 'abort', by: 'bo@ops2', seq: 8 });
    t.deepEqual(await other.requests('run-1'), [answer, abort]);
    await other.withdraw('run-1', answer.id);
    await other.withdraw('run-1', answer.id);
    t.deepEqual(await store.requests('run-1'), [abort]);
    await store.withdraw('run-1', abort.id);
    t.deepEqual(await store.requests('run-1'), []);
    await journal.close();
  });
}

export const journalsFolder = (place: string, run: string): string =>
  join(place, 'runs', run, 'journal.jsonl');
