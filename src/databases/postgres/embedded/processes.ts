import { readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** Whether a process runs. One that has ended does not, even if nobody has asked for it yet. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isUnreaped(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Ended, but its parent does not ask for it: the first process of a container often never does. */
export function isUnreaped(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The wanted port of this machine if it is free, any free one for 0. */
export function freePort(wanted: number): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(wanted, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolvePort(port));
    });
  });
}

/** The server that runs in a data folder, by its own lock file. */
export async function runningServer(data: string): Promise<{ pid: number; port: number } | undefined> {
  const text = await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '');
  const [pid, , , port] = text.split('\n').map(Number);
  // A new server would take the process that has ended and is only not reaped yet for one that runs.
  if (pid && isUnreaped(pid)) await rm(join(data, 'postmaster.pid'), { force: true });
  return pid && port && isAlive(pid) ? { pid, port } : undefined;
}
