import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, UsageError } from '../core/errors.ts';
import type { Playbook } from '../core/playbook.ts';
import { loadPlaybook } from '../playbook/load.ts';
import type { Environment } from '../playbook/values/environment.ts';

/** Where playbooks are looked for. */
export interface Places {
  /** Playbooks, and folders of them. */
  readonly places: readonly string[];
  readonly env: Environment;
  readonly say: (line: string) => void;
}

/** Files that are playbooks by their names, of the places that were given. */
export async function filesOf(places: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    places.map(async (place) => {
      const info = await stat(place).catch((cause: unknown) => {
        throw new UsageError(`${place} cannot be read: ${messageOf(cause)}`, { cause });
      });
      if (!info.isDirectory()) return [place];
      const names = (await readdir(place)).filter((name) => /\.ya?ml$/.test(name));
      return names.toSorted().map((name) => join(place, name));
    }),
  );
  return found.flat();
}

/** Those that have windows. They are read anew each time: what somebody mends in between counts from the next run on. */
export async function readPlaybooks({
  places,
  env,
  say,
}: Places): Promise<{ file: string; playbook: Playbook }[]> {
  const found: { file: string; playbook: Playbook }[] = [];
  for (const file of await filesOf(places)) {
    try {
      const playbook = await loadPlaybook(file, env);
      if (playbook.windows.length > 0) found.push({ file, playbook });
    } catch (error) {
      say(`${file} cannot be used: ${messageOf(error)}`);
    }
  }
  return found;
}
