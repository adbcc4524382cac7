import { readFileSync, realpathSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { messageOf, StepError } from '../../core/errors.ts';
import type { Side } from '../../core/side.ts';
import { readText, removeLeftovers, stageFile, type StagedFile } from '../../util/files/atomic.ts';
import { findEntry, pointed, pointingOf, type Pointing } from './databases-line.ts';

/** The file with PgBouncer's lines, as far as the target's entries are concerned. */
export class EntriesFile {
  readonly #path: string;
  readonly #entries: readonly string[];
  readonly #place: (side: Side, now: Pointing) => Pointing;
  #staged: { before: string; after: string; file: StagedFile } | undefined;

  /** `place` says where a line leads when it leads to a side. */
  constructor(path: string, entries: readonly string[], place: (side: Side, now: Pointing) => Pointing) {
    this.#path = path;
    this.#entries = entries;
    this.#place = place;
  }

  async read(): Promise<string> {
    try {
      return await readText(await realpath(this.#path));
    } catch (cause) {
      throw this.#unreadable(cause);
    }
  }

  /** In the pause the way through the thread pool takes longer than the reading. */
  readNow(): string {
    try {
      return readFileSync(realpathSync(this.#path), 'utf8');
    } catch (cause) {
      throw this.#unreadable(cause);
    }
  }

  #unreadable(cause: unknown): StepError {
    return new StepError(`the file cannot be read: ${messageOf(cause)}`, { where: this.#path, cause });
  }

  pointing(text: string, name: string): Pointing {
    try {
      return pointingOf(findEntry(text, name), name);
    } catch (cause) {
      throw new StepError(messageOf(cause), { where: this.#path, cause });
    }
  }

  pointed(text: string, to: Side): string {
    return this.#entries.reduce(
      (changed, name) => pointed(changed, name, this.#place(to, this.pointing(changed, name))),
      text,
    );
  }

  sideOf(now: Pointing): Side | undefined {
    return (['blue', 'green'] as const).find((side) => {
      const place = this.#place(side, now);
      return place.dbname === now.dbname && place.host === now.host && portOf(place) === portOf(now);
    });
  }

  /** The file is as it will be when the promise settles, and durably so when `settled` does. */
  async replace(text: string, next: string): Promise<{ readonly settled: Promise<void> }> {
    const staged = this.#staged;
    this.#staged = undefined;
    if (staged?.before === text && staged.after === next) return staged.file.commit();
    await staged?.file.discard();
    return (await stageFile(await realpath(this.#path), next)).commit();
  }

  /** Writes the next file beside it, so that one rename is left to do. */
  async stage(to: Side): Promise<void> {
    await this.discard();
    await this.discardLeftovers();
    const path = await realpath(this.#path);
    const before = await this.read();
    const after = this.pointed(before, to);
    this.#staged = { before, after, file: await stageFile(path, after) };
  }

  async discard(): Promise<void> {
    await this.#staged?.file.discard();
    this.#staged = undefined;
  }

  /** What a process that died has staged. */
  async discardLeftovers(): Promise<void> {
    await removeLeftovers(await realpath(this.#path));
  }
}

const portOf = ({ port }: Pointing): string => port ?? '5432';
