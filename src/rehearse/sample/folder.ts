import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { messageOf, UsageError } from '../../core/errors.ts';

/** Throws UsageError unless a folder can be made there: it is missing, or empty. */
export async function refuseUsed(out: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(out);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new UsageError(`--out cannot be written: ${messageOf(cause)}`, { where: out, cause });
  }
  if (names.length > 0)
    throw new UsageError('--out is a folder with something in it', {
      where: out,
      hint: 'nothing is overwritten: give another folder, or remove that one',
    });
}

/** Gives `work` a folder beside `out`, which takes its place when everything is in it; a half one is never there. */
export async function intoFolder<T>(out: string, work: (folder: string) => Promise<T>): Promise<T> {
  const whole = resolve(out);
  const folder = `${whole}.cutover-${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    await mkdir(dirname(whole), { recursive: true });
    await mkdir(folder, { mode: 0o755 });
  } catch (cause) {
    throw new UsageError(`--out cannot be written: ${messageOf(cause)}`, { where: out, cause });
  }
  try {
    const result = await work(folder);
    await rename(folder, whole);
    return result;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
