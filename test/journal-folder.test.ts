import { spawn } from 'node:child_process';
import {
  appendFile,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
  type FileHandle,
} from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { RefusedError } from '../src/core/errors.ts';
import { FileJournalStore } from '../src/journal/file.ts';
import { event, journalContract, journalsFolder } from './helpers/journal-contract.ts';
import { until } from './helpers/until.ts';

const folders: string[] = [];
test.after.always(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

journalContract({
  name: 'folder',
  async open() {
    const place = await mkdtemp(join(tmpdir(), 'cutover-test-journal-'));
    folders.push(place);
    return { store: new FileJournalStore(place), other: new FileJournalStore(place), place };
  },
  intrude: (place, run, seq) =>
    appendFile(journalsFolder(place, run), `${JSON.stringify({ seq, at: '', ...event('theirs') })}\n`),
  async fill(place, run) {
    // The platform's own class: the handle of this journal writes a part of what it should, and fails.
    const { ino } = await stat(journalsFolder(place, run));
    const probe = await open(import.meta.filename);
    const handles = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    // oxlint-disable-next-line typescript/unbound-method -- called with the handle it belongs to
    const real = handles.appendFile;
    handles.appendFile = async function (this: FileHandle, data, ...rest) {
      if ((await this.stat()).ino !== ino) return real.call(this, data, ...rest);
      await real.call(this, (data as string).slice(0, 10));
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    };
    return async () => {
      handles.appendFile = real;
    };
  },
});

test('folder: a number that another process has by now, and a holder on another host, hold nothing', async (t) => {
  const place = await mkdtemp(join(tmpdir(), 'cutover-test-journal-'));
  folders.push(place);
  const store = new FileJournalStore(place);
  await (await store.create('run-1')).close();
  const folder = join(place, 'runs/run-1');
  const since = new Date().toISOString();
  const left = [
    { pid: process.pid, host: hostname(), since, birth: 'another boot 1' },
    { pid: process.pid, host: 'elsewhere', since, birth: '' },
  ];
  for (const [index, holder] of left.entries())
    await writeFile(join(folder, `writer.${holder.pid}.0000000${index}`), JSON.stringify(holder));
  await writeFile(join(folder, 'writer.1.00000009'), '');
  t.is(await store.writer('run-1'), undefined);
  const journal = await store.open('run-1');
  t.is((await journal.append(event('mine'))).seq, 1);
  await journal.close();
  t.deepEqual(await readdir(folder), ['journal.jsonl']);
});

test('folder: a process of which nothing but its number is known counts as alive as long as there is one', async (t) => {
  const place = await mkdtemp(join(tmpdir(), 'cutover-test-journal-'));
  folders.push(place);
  const store = new FileJournalStore(place);
  await (await store.create('run-1')).close();
  const holder = { pid: process.pid, host: hostname(), since: new Date().toISOString(), birth: '' };
  await writeFile(join(place, 'runs/run-1', `writer.${process.pid}.00000000`), JSON.stringify(holder));
  t.regex((await store.writer('run-1'))!, new RegExp(`pid ${process.pid} on `));
  await t.throwsAsync(() => store.open('run-1'), { instanceOf: RefusedError });
});

test('folder: a killed process that nobody has buried yet holds nothing', async (t) => {
  const place = await mkdtemp(join(tmpdir(), 'cutover-test-journal-'));
  folders.push(place);
  const store = new FileJournalStore(place);
  await (await store.create('run-1')).close();
  // Its parent goes on without ever asking after it.
  const script = `(sleep 0.2; cat /proc/$BASHPID/stat; kill -9 $BASHPID) & exec sleep 20`;
  const parent = spawn('bash', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => parent.kill('SIGKILL'));
  const line = await new Promise<string>((resolve) =>
    parent.stdout.once('data', (data) => resolve(String(data))),
  );
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const pid = Number(line.split(' ')[0]);
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const holder = { pid, host: hostname(), since: new Date().toISOString(), birth: `${boot} ${fields[19]}` };
  await writeFile(join(place, 'runs/run-1', `writer.${pid}.00000000`), JSON.stringify(holder));
  await until('the end', async () => (await readFile(`/proc/${pid}/stat`, 'utf8')).includes(') Z '));
  t.is(await store.writer('run-1'), undefined);
});
