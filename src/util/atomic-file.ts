import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes a rename or a new file in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces a file's content in one step: readers see the old text or the new, never a part, even after a crash.
 * Mode and owner stay as they were.
 */
export async function replaceFile(path: string, content: string): Promise<void> {
  const before = await stat(path).catch(() => undefined);
  const temporary = `${path}.cutover-${randomBytes(4).toString('hex')}`;
  try {
    const handle = await open(temporary, 'wx', before ? before.mode & 0o7777 : 0o600);
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
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

export const readText = (path: string): Promise<string> => readFile(path, 'utf8');
