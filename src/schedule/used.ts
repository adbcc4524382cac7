import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { codeOf, messageOf, StepError } from '../core/errors.ts';
import { readText, replaceFile } from '../util/atomic-file.ts';

const entry = z.object({
  key: z.string(),
  /** ISO 8601. */
  at: z.string(),
  /** Undefined while its run goes on, or when nobody was there to hear of its end. */
  exit: z.number().nullable().optional(),
});
const file = z.object({ format: z.literal(1), used: z.array(entry) });
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
    try {
      return file.parse(JSON.parse(await readText(this.#path))).used;
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') return [];
      throw new StepError(`which windows were used cannot be read: ${messageOf(cause)}`, {
        where: this.#path,
        cause,
        hint: 'look at it; without it every window counts as unused',
      });
    }
  }

  /** Durable before the run is begun. */
  async begin(keys: readonly string[], at: Date): Promise<void> {
    await this.#write([...(await this.read()), ...keys.map((key) => ({ key, at: at.toISOString() }))]);
  }

  async end(keys: readonly string[], exit: number | null): Promise<void> {
    const used = await this.read();
    await this.#write(used.map((each) => (keys.includes(each.key) ? { ...each, exit } : each)));
  }

  async #write(used: readonly Used[]): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    await replaceFile(this.#path, `${JSON.stringify({ format: 1, used: used.slice(-KEPT) }, null, 2)}\n`);
  }
}
