import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { codeOf, messageOf, StepError } from '../core/errors.ts';
import { readText, replaceFile } from '../util/files/atomic.ts';

const entry = z.object({
  key: z.string(),
  /** ISO 8601. */
  at: z.string(),
  /** Undefined while its run goes on, or when nobody was there to hear of its end. */
  exit: z.number().nullable().optional(),
});
const file = z.object({
  format: z.literal(1),
  /** ISO 8601: what was over by then is settled. */
  watched: z.string().optional(),
  used: z.array(entry),
});
type File = z.infer<typeof file>;
export type Used = z.infer<typeof entry>;

/** How many are remembered. */
const KEPT = 200;

/** Which openings of a playbook's windows were used: none is used twice, whoever dies. */
export class UsedOpenings {
  readonly #path: string;

  constructor(stateFolder: string, playbook: string) {
    this.#path = join(stateFolder, 'windows', `${playbook}.json`);
  }

  /** Throws StepError when the file is damaged: then nobody knows what was used. */
  async read(): Promise<Used[]> {
    return (await this.#read()).used;
  }

  /** Milliseconds since 1970; openings that were over by then are settled. Undefined when nobody has looked yet. */
  async watchedSince(): Promise<number | undefined> {
    const { watched } = await this.#read();
    return watched === undefined ? undefined : Date.parse(watched);
  }

  async watch(at: Date): Promise<void> {
    await this.#write({ ...(await this.#read()), watched: at.toISOString() });
  }

  /** Durable before the run is begun. */
  async begin(keys: readonly string[], at: Date): Promise<void> {
    const before = await this.#read();
    const used = [...before.used, ...keys.map((key) => ({ key, at: at.toISOString() }))];
    await this.#write({ ...before, used });
  }

  async end(keys: readonly string[], exit: number | null): Promise<void> {
    const before = await this.#read();
    await this.#write({
      ...before,
      used: before.used.map((each) => (keys.includes(each.key) ? { ...each, exit } : each)),
    });
  }

  async #read(): Promise<File> {
    try {
      return file.parse(JSON.parse(await readText(this.#path)));
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') return { format: 1, used: [] };
      throw new StepError(`which windows were used cannot be read: ${messageOf(cause)}`, {
        where: this.#path,
        cause,
        hint: 'look at it; without it every window counts as unused',
      });
    }
  }

  async #write({ watched, used: all, ...rest }: File): Promise<void> {
    const used = all.slice(-KEPT);
    // What is forgotten must not count as missed.
    const oldest = used.length < all.length ? used[0]!.at : undefined;
    const since = [watched, oldest]
      .filter((at) => at !== undefined)
      .toSorted()
      .at(-1);
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    await replaceFile(
      this.#path,
      `${JSON.stringify({ ...rest, ...(since !== undefined && { watched: since }), used }, null, 2)}\n`,
    );
  }
}
