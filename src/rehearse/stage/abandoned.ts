import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CutoverError, messageOf } from '../../core/errors.ts';
import { isAlive, runningServer } from '../../databases/postgres/embedded/processes.ts';
import { endStrayProcesses } from '../../util/stray.ts';
import { plural } from '../../util/units.ts';
import { openEngine, removeContainers } from './engine.ts';

const PREFIX = 'cutover-rehearsal-';
/** Names the process whose folder it is. */
const OWNER = 'owner';
/** How long a server that is told to stop at once may take. */
const STOP_MS = 10_000;
/** Says that the stage has containers. */
export const CONTAINERS = 'containers';

/** A new folder for a stage, marked as this process's. What processes that were killed have left is taken down first. */
export async function stageFolder(progress: (line: string) => void): Promise<string> {
  const removed = await removeAbandoned(progress);
  if (removed > 0) progress(`taken down: ${plural(removed, 'stage')} of processes that were killed`);
  const folder = await mkdtemp(join(tmpdir(), PREFIX));
  await writeFile(join(folder, OWNER), String(process.pid));
  return folder;
}

/** What processes that belong to a stage carry in their environment, as the value of the variable of stray ones. */
export const stageMark = (folder: string): string => basename(folder);

/** Takes down the stages of processes that were killed: servers, poolers and files. Says how many there were. */
async function removeAbandoned(progress: (line: string) => void): Promise<number> {
  const names = (await readdir(tmpdir())).filter((name) => name.startsWith(PREFIX));
  let removed = 0;
  for (const name of names) {
    const folder = join(tmpdir(), name);
    const owner = Number(await readFile(join(folder, OWNER), 'utf8').catch(() => '0'));
    // Without an owner it is being made just now, or is not ours to judge.
    if (!(owner > 0) || isAlive(owner)) continue;
    try {
      await takeDown(folder);
      removed += 1;
    } catch (error) {
      // Otherwise it is somebody else's, or somebody else is at it.
      if (error instanceof CutoverError) progress(`left: ${folder}, for ${messageOf(error)}`);
    }
  }
  return removed;
}

async function takeDown(folder: string): Promise<void> {
  await endStrayProcesses(stageMark(folder));
  if (existsSync(join(folder, CONTAINERS))) await removeContainers(await openEngine(), folder);
  const servers = (await readdir(folder)).filter((name) => name.endsWith('-server'));
  for (const name of servers) {
    const home = join(folder, name);
    const place = await readFile(join(home, 'location'), 'utf8').catch(() => home);
    const running = await runningServer(join(place, 'data'));
    if (running) await stopNow(running.pid);
    await rm(place, { recursive: true, force: true });
  }
  await rm(folder, { recursive: true, force: true });
}

/** Nothing of it is wanted any more. */
async function stopNow(pid: number): Promise<void> {
  process.kill(pid, 'SIGQUIT');
  for (const deadline = Date.now() + STOP_MS; isAlive(pid); await sleep(50))
    if (Date.now() > deadline) process.kill(pid, 'SIGKILL');
}
