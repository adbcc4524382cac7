import { resolve } from 'node:path';
import { withBackup } from '../../rehearse/backup/backup.ts';
import type { Compared } from '../../run/compare.ts';
import type { Surroundings } from '../../run/open.ts';
import type { CommandIo } from './io.ts';

interface AgainstBackup {
  /** As it stands on the command line. */
  readonly path: string;
  /** Of the database that it is a backup of; secret. */
  readonly url: string;
  readonly around: Surroundings;
  readonly quiet: true | undefined;
  readonly signal: AbortSignal;
}

/** Restores a backup and compares with it; what the backup is stands before what was found in it. */
export const againstBackup = (
  { path, url, around, quiet, signal }: AgainstBackup,
  io: CommandIo,
  compareWith: (copy: { readonly url: string; readonly place: string }) => Promise<Compared>,
): Promise<Compared> =>
  withBackup(
    {
      path: resolve(path),
      blue: url,
      tools: around.tools,
      signal,
      progress: (line) => void (quiet ?? io.err(line)),
    },
    async (restored) => {
      const { blue, place, findings } = restored;
      if (restored.url === undefined) return { findings, places: { blue, green: place } };
      const compared = await compareWith({ url: restored.url, place });
      return { findings: [...findings, ...compared.findings], places: compared.places };
    },
  );
