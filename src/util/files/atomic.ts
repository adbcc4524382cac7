import { randomBytes } from 'node:crypto';
import { renameSync } from 'node:fs';
import { open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Makes a rename or a new file in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes what a process that died in `replaceFile` left beside the file. */
export async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    const [, pid] = name.startsWith(basename(path))
      ? (LEFTOVER.exec(name.slice(basename(path).length)) ?? [])
      : [];
    if (pid !== undefined && !isRunning(Number(pid))) await rm(join(folder, name), { force: true });
  }
}

const LEFTOVER = /^\.cutover-(\d+)-[0-9a-f]{8}$/;

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Replaces a file's content in one step: readers see the old text or the new, never a part, even after a crash.
 * Mode and owner stay as they were; a file that was not there gets `mode`.
 */
export async function replaceFile(path: string, content: string, mode = 0o600): Promise<void> {
  const { settled } = await (await stageFile(path, content, mode)).commit();
  await settled;
}

/** A new content that lies beside its file, durable, and takes its place by one rename. */
export interface StagedFile {
  /** In its place for whoever reads it; the rename itself is durable when `settled` is. */
  commit(): Promise<{ readonly settled: Promise<void> }>;
  discard(): Promise<void>;
}

export async function stageFile(path: string, content: string, mode = 0o600): Promise<StagedFile> {
  const before = await stat(path).catch(() => undefined);
  const temporary = `${path}.cutover-${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    const handle = await open(temporary, 'wx', before ? before.mode & 0o7777 : mode);
    try {
      if (before) {
        await handle.chmod(before.mode & 0o7777);
        const own = await handle.stat();
        if (own.uid !== before.uid || own.gid !== before.gid) await handle.chown(before.uid, before.gid);
      }
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const discard = (): Promise<void> => rm(temporary, { force: true });
  return {
    discard,
    async commit() {
      try {
        // The way through the thread pool would take longer than the rename, and in a pause clients wait for it.
        renameSync(temporary, path);
      } catch (error) {
        await discard();
        throw error;
      }
      const settled = syncFolder(dirname(path));
      // Whoever waits for it hears of its failure.
      settled.catch(() => undefined);
      return { settled };
    },
  };
}

export const readText = (path: string): Promise<string> => readFile(path, 'utf8');
