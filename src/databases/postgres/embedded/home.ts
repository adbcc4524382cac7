import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { reachable, serverAccount, SHARED_HOME } from './binaries.ts';
import { runningServer } from './processes.ts';

/**
 * Where the server's files go: `home`, or a folder under `/var/lib/cutover` when root keeps `home` where the server's
 * account cannot walk in. `home/location` then says where, so that removing `home` begins afresh.
 */
export async function usableHome(home: string): Promise<string> {
  if (await reachable(dirname(home), serverAccount())) return home;
  const known = await readFile(join(home, 'location'), 'utf8').catch(() => undefined);
  if (known !== undefined) return known;
  await mkdir(SHARED_HOME, { recursive: true, mode: 0o755 });
  await removeForgotten();
  const place = join(SHARED_HOME, `embedded-${randomBytes(6).toString('hex')}`);
  await mkdir(place, { mode: 0o755 });
  await writeFile(join(place, 'origin'), home);
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'location'), place);
  return place;
}

/** Removes the files of servers whose `home` was removed, and which do not run. */
async function removeForgotten(): Promise<void> {
  for (const name of await readdir(SHARED_HOME)) {
    if (!name.startsWith('embedded-')) continue;
    const place = join(SHARED_HOME, name);
    const origin = await readFile(join(place, 'origin'), 'utf8').catch(() => undefined);
    // Without an origin it is being made just now, or is not ours to judge.
    if (origin === undefined) continue;
    const location = await readFile(join(origin, 'location'), 'utf8').catch(() => undefined);
    if (location !== place && !(await runningServer(join(place, 'data'))))
      await rm(place, { recursive: true, force: true });
  }
}
