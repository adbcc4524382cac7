import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Approval } from '../core/approval.ts';
import { codeOf, messageOf, RefusedError } from '../core/errors.ts';
import { readText, replaceFile, syncFolder } from '../util/files/atomic.ts';

const hashes = z.record(z.string(), z.string());
const approval = z.strictObject({
  format: z.literal(1),
  id: z.string(),
  name: z.string(),
  by: z.string(),
  at: z.iso.datetime(),
  until: z.iso.datetime(),
  approved: z.strictObject({
    playbook: z.string(),
    settings: hashes,
    migrations: hashes,
    schema: z.strictObject({ fingerprint: z.string(), objects: hashes }),
    places: hashes,
    version: z.string(),
    warnings: z.array(z.string()),
  }),
  digest: z.string(),
  signature: z.string().exactOptional(),
});

/** What a store has as the approval of a playbook. Throws RefusedError when it is none. */
export function asApproval(text: string, where: string): Approval {
  try {
    return approval.parse(JSON.parse(text));
  } catch (cause) {
    throw unreadable(where, cause);
  }
}

const unreadable = (where: string, cause: unknown): RefusedError =>
  new RefusedError(`the approval cannot be read: ${messageOf(cause)}`, {
    where,
    cause,
    hint: 'give it anew: cutover approve PLAYBOOK',
  });

/** Approvals as files, the latest one of each playbook: `approvals/NAME.json`. */
export class ApprovalFolder {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async put(given: Approval): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await replaceFile(this.#path(given.name), `${JSON.stringify(given)}\n`);
  }

  async get(name: string): Promise<Approval | undefined> {
    const where = this.#path(name);
    const text = await readText(where).catch((cause: unknown) => {
      if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return undefined;
      throw unreadable(where, cause);
    });
    return text === undefined ? undefined : asApproval(text, where);
  }

  async names(): Promise<string[]> {
    const files = await readdir(this.#folder).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
      throw error;
    });
    return files
      .filter((file) => file.endsWith('.json'))
      .map((file) => file.slice(0, -'.json'.length))
      .toSorted();
  }

  /** Says whether there was one. */
  async remove(name: string): Promise<boolean> {
    try {
      await rm(this.#path(name));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
    await syncFolder(this.#folder);
    return true;
  }

  #path(name: string): string {
    return join(this.#folder, `${name}.json`);
  }
}
