import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

/** A process that holds a lock. */
export interface Holder {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly since: string;
  /** Tells a process from a later one with the same number; empty where the system does not say. */
  readonly birth: string;
}

/** `pid 4711 on build-3 since 2026-11-20 23:42:05 UTC` */
export const describeHolder = ({ pid, host, since }: Holder): string =>
  `pid ${pid} on ${host} since ${since.slice(0, 19).replace('T', ' ')} UTC`;

/**
 * Takes the lock of a folder, or gives the living holder that has it. Each contender leaves a file of its own and then
 * looks at all the others: two at once may both give way, and never both have it. What dead processes left is removed.
 * A process on another host cannot be looked at, and counts as dead.
 */
export async function takeLock(
  folder: string,
  name: string,
): Promise<{ readonly release: () => Promise<void> } | { readonly holder: Holder }> {
  const own = `${name}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const self: Holder = {
    pid: process.pid,
    host: hostname(),
    since: new Date().toISOString(),
    birth: await birthOf(process.pid),
  };
  await writeFile(join(folder, own), JSON.stringify(self), { flag: 'wx', mode: 0o600 });
  const release = (): Promise<void> => rm(join(folder, own), { force: true });
  const others = (await lockFiles(folder, name)).filter((file) => file !== own);
  const holder = await livingHolder(folder, others);
  if (holder) {
    await release();
    return { holder };
  }
  for (const file of others) await rm(join(folder, file), { force: true });
  return { release };
}

/** Who has the lock of a folder; undefined when nobody alive does. Removes what dead processes of this host left. */
export async function lockHolder(folder: string, name: string): Promise<Holder | undefined> {
  const files = await lockFiles(folder, name);
  const holder = await livingHolder(folder, files);
  if (holder) return holder;
  for (const file of files) {
    // One that cannot be read is just being written; one from elsewhere may be of a process that lives.
    if ((await readHolder(join(folder, file)))?.host === hostname()) await discard(folder, file);
  }
  return undefined;
}

/** In a folder that may only be read, what is dead stays and holds nobody up. */
const discard = (folder: string, file: string): Promise<void> =>
  rm(join(folder, file), { force: true }).catch(() => undefined);

async function lockFiles(folder: string, name: string): Promise<string[]> {
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [] as string[];
    throw error;
  });
  return files.filter((file) => file.startsWith(`${name}.`));
}

async function livingHolder(folder: string, files: readonly string[]): Promise<Holder | undefined> {
  for (const file of files) {
    const holder = await readHolder(join(folder, file));
    if (holder && (await isAlive(holder))) return holder;
  }
  return undefined;
}

/** A contender's file is empty for a moment: what cannot be read is nobody's, and its maker will look for us. */
async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const { pid, host, since, birth } = JSON.parse(await readFile(path, 'utf8')) as Holder;
    return typeof pid === 'number' ? { pid, host, since, birth } : undefined;
  } catch {
    return undefined;
  }
}

async function isAlive({ pid, host, birth }: Holder): Promise<boolean> {
  if (host !== hostname()) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const born = await birthOf(pid);
  // What cannot be told apart is taken for alive: to wait is safe, to take over is not.
  return born !== DEAD && (born === '' || birth === '' || born === birth);
}

const DEAD = 'dead';

/** Boot and start time of a process, where there is a /proc that says so; one that was not buried yet is dead. */
async function birthOf(pid: number): Promise<string> {
  try {
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold blanks; its state follows, and the start time is the twentieth field after it.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? DEAD : `${boot} ${fields[18]}`;
  } catch {
    return '';
  }
}
