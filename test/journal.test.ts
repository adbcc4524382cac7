import { execFileSync } from 'node:child_process';
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { EventBody } from '../src/core/event.ts';
import { FileJournalStore } from '../src/journal/file.ts';
import { JournalError } from '../src/journal/journal.ts';
import { addSecret } from '../src/util/redact.ts';
import { created } from './helpers/events.ts';

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
