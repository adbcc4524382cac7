import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../util/files/atomic.ts';
import { compactTime } from '../util/time/clock.ts';
import type { Request, RequestBody } from './journal.ts';

/** An id that sorts by time. */
export const newRequest = (body: RequestBody & Pick<Request, 'by' | 'seq'>): Request => {
  const now = new Date();
  return { ...body, id: `${compactTime(now)}-${randomBytes(4).toString('hex')}`, at: now.toISOString() };
};

/** What a store gives back as a request; undefined when it is none. */
export function asRequest(value: unknown): Request | undefined {
  const { id, at, by, seq, kind, step, answer } = (value ?? {}) as Record<string, unknown>;
  if (typeof id !== 'string' || typeof at !== 'string' || typeof by !== 'string' || typeof seq !== 'number')
    return undefined;
  if (kind === 'abort') return { id, at, by, seq, kind };
  if (kind !== 'answer' || typeof step !== 'string' || (answer !== 'go' && answer !== 'stop'))
    return undefined;
  return { id, at, by, seq, kind, step, answer };
}

/** Requests as files, one each, in a folder. */
export class RequestFolder {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async post(request: Request): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await replaceFile(this.#path(request.id), JSON.stringify(request));
  }

  /** Oldest first. What is no request is passed over. */
  async list(): Promise<Request[]> {
    const names = await readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [] as string[];
      throw error;
    });
    const requests: Request[] = [];
    for (const name of names.filter((each) => /^[\w-]+\.json$/.test(each)).sort()) {
      const request = await readRequest(join(this.#folder, name));
      if (request && `${request.id}.json` === name) requests.push(request);
    }
    return requests;
  }

  async withdraw(id: string): Promise<void> {
    if (/^[\w-]+$/.test(id)) await rm(this.#path(id), { force: true });
  }

  #path(id: string): string {
    return join(this.#folder, `${id}.json`);
  }
}

async function readRequest(path: string): Promise<Request | undefined> {
  try {
    return asRequest(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}
