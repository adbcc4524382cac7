import { mkdir, open, readdir, readFile, stat, truncate, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Event, EventBody } from '../core/event.ts';
import { messageOf, RefusedError, UsageError } from '../core/errors.ts';
import { syncFolder } from '../util/atomic-file.ts';
import { inTurn } from '../util/in-turn.ts';
import { describeHolder, lockHolder, takeLock } from '../util/lock-file.ts';
import { JournalError, type Journal, type JournalStore, type Request, type RequestBody } from './journal.ts';
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

  constructor(folder: string) {
    this.place = folder;
    this.#folder = join(folder, 'runs');
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

async function readJournal(path: string, run: string): Promise<{ events: Event[]; bytes: number }> {
  const content = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw cause;
    throw new UsageError(`there is no run ${run}`, {
      where: path,
      hint: 'see the runs there are: cutover runs',
    });
  });
  const events: Event[] = [];
  let bytes = 0;
  // Only a line with its end is an event: what follows the last line end was torn off by a crash.
  for (let end = content.indexOf(10); end !== -1; end = content.indexOf(10, bytes)) {
    const event = parseLine(content.toString('utf8', bytes, end));
    if (event?.seq !== events.length + 1) {
      throw new JournalError(`the journal is damaged at line ${events.length + 1}`, {
        where: path,
        hint: 'restore the file from a backup; nothing was changed',
      });
    }
    events.push(event);
    bytes = end + 1;
  }
  return { events, bytes };
}

function parseLine(line: string): Event | undefined {
  try {
    return JSON.parse(line) as Event;
  } catch {
    return undefined;
  }
}
