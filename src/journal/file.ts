import { mkdir, open, readdir, rename, rm, stat, truncate, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Approval } from '../core/approval.ts';
import type { Event, EventBody } from '../core/event.ts';
import { messageOf, RefusedError } from '../core/errors.ts';
import { syncFolder } from '../util/files/atomic.ts';
import { inTurn } from '../util/turns/in-turn.ts';
import { describeHolder, lockHolder, takeLock } from '../util/files/lock.ts';
import { ApprovalFolder } from './approvals.ts';
import { JournalError, type Journal, type JournalStore, type Request, type RequestBody } from './journal.ts';
import { readJournal } from './read-file.ts';
import { withoutSecrets } from './redact-event.ts';
import { newRequest, RequestFolder } from './requests.ts';

/** Name of the files by which a process holds a journal. */
const LOCK = 'writer';

/**
 * Journals in a folder: `runs/RUN/journal.jsonl`, one event a line, appended and fsynced. A crash in the middle of an
 * append leaves a torn last line, which is cut off when the journal is opened again. One process at a time holds a
 * journal for appending; processes on other hosts are kept apart by the lock on blue's server. Format: docs/formats.md.
 */
export class FileJournalStore implements JournalStore {
  readonly place: string;
  readonly #folder: string;
  readonly #removed: string;
  readonly #approvals: ApprovalFolder;

  constructor(folder: string) {
    this.place = folder;
    this.#folder = join(folder, 'runs');
    this.#removed = join(folder, 'removed');
    this.#approvals = new ApprovalFolder(join(folder, 'approvals'));
  }

  async create(run: string): Promise<Journal> {
    const path = this.#path(run);
    try {
      const first = await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const handle = await open(path, 'ax', 0o600);
      // The journal is durable only together with the folders that lead to it.
      const top = dirname(first ?? dirname(path));
      for (let folder = dirname(path); folder.length >= top.length; folder = dirname(folder)) {
        await syncFolder(folder);
        if (folder === dirname(folder)) break;
      }
      return new FileJournal(run, path, handle, { seq: 0, bytes: 0 }, await this.#hold(run));
    } catch (cause) {
      throw new RefusedError(`cannot make the journal: ${messageOf(cause)}`, {
        where: path,
        cause,
        hint: 'nothing was touched; give a writable folder with --state DIR',
      });
    }
  }

  async open(run: string): Promise<Journal> {
    const path = this.#path(run);
    await readJournal(path, run);
    const release = await this.#hold(run);
    try {
      // Once more: until it was held, another process may have written.
      const { events, bytes } = await readJournal(path, run);
      if ((await stat(path)).size > bytes) await truncate(path, bytes);
      return new FileJournal(run, path, await open(path, 'a'), { seq: events.length, bytes }, release);
    } catch (error) {
      await release();
      throw error;
    }
  }

  async read(run: string): Promise<Event[]> {
    return (await readJournal(this.#path(run), run)).events;
  }

  async list(): Promise<string[]> {
    const names: string[] = await readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [] as string[];
      throw error;
    });
    return names.sort();
  }

  async writer(run: string): Promise<string | undefined> {
    const holder = await lockHolder(join(this.#folder, run), LOCK);
    return holder && describeHolder(holder);
  }

  async post(run: string, body: RequestBody & Pick<Request, 'by' | 'seq'>): Promise<Request> {
    const request = newRequest(body);
    await this.#requests(run).post(request);
    return request;
  }

  requests(run: string): Promise<Request[]> {
    return this.#requests(run).list();
  }

  withdraw(run: string, id: string): Promise<void> {
    return this.#requests(run).withdraw(id);
  }

  async remove(run: string): Promise<void> {
    await readJournal(this.#path(run), run);
    const release = await this.#hold(run);
    try {
      // Out of the list in one step; what a process that died here has left goes with the next one.
      await mkdir(this.#removed, { recursive: true, mode: 0o700 });
      await rename(join(this.#folder, run), join(this.#removed, run));
    } catch (error) {
      await release();
      throw error;
    }
    await syncFolder(this.#folder);
    await rm(this.#removed, { recursive: true, force: true });
  }

  approve(approval: Approval): Promise<void> {
    return this.#approvals.put(approval);
  }

  approval(name: string): Promise<Approval | undefined> {
    return this.#approvals.get(name);
  }

  approvals(): Promise<string[]> {
    return this.#approvals.names();
  }

  disapprove(name: string): Promise<boolean> {
    return this.#approvals.remove(name);
  }

  home(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  end(): Promise<void> {
    return Promise.resolve();
  }

  async #hold(run: string): Promise<() => Promise<void>> {
    const taken = await takeLock(join(this.#folder, run), LOCK);
    if ('release' in taken) return taken.release;
    throw new RefusedError(`another process works on run ${run}: ${describeHolder(taken.holder)}`, {
      hint: `to see what it does: cutover status ${run} --watch`,
    });
  }

  #requests(run: string): RequestFolder {
    return new RequestFolder(join(this.#folder, run, 'requests'));
  }

  #path(run: string): string {
    return join(this.#folder, run, 'journal.jsonl');
  }
}

class FileJournal implements Journal {
  readonly run: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #release: () => Promise<void>;
  #seq: number;
  #bytes: number;
  readonly #inTurn = inTurn();

  constructor(
    run: string,
    path: string,
    handle: FileHandle,
    at: { seq: number; bytes: number },
    release: () => Promise<void>,
  ) {
    this.run = run;
    this.#path = path;
    this.#handle = handle;
    this.#seq = at.seq;
    this.#bytes = at.bytes;
    this.#release = release;
  }

  append(body: EventBody): Promise<Event> {
    return this.#inTurn(() => this.#write(body));
  }

  async #write(body: EventBody): Promise<Event> {
    const event = { seq: this.#seq + 1, at: new Date().toISOString(), ...withoutSecrets(body) } as Event;
    const line = `${JSON.stringify(event)}\n`;
    await this.#assertAlone();
    try {
      await this.#handle.appendFile(line);
      await this.#handle.datasync();
    } catch (cause) {
      // A part of the line may be there: without it the next event would hang on to a torn one.
      await this.#handle.truncate(this.#bytes).catch(() => undefined);
      throw new JournalError(`the journal cannot be written: ${messageOf(cause)}`, {
        where: this.#path,
        cause,
        hint: 'make room on the disk, or give another folder with --state DIR',
      });
    }
    this.#seq += 1;
    this.#bytes += Buffer.byteLength(line);
    return event;
  }

  async read(): Promise<Event[]> {
    return (await readJournal(this.#path, this.run)).events;
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#handle.close();
      await this.#release();
    });
  }

  /** The file is as this writer left it: two that append by turns would give two events the same number. */
  async #assertAlone(): Promise<void> {
    const { size } = await this.#handle.stat();
    if (size === this.#bytes) return;
    throw new JournalError('somebody else wrote to the journal of this run', {
      where: this.#path,
      hint: `see what is at work there: cutover status ${this.run}`,
    });
  }
}
