import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { embeddedBinaries } from '../../src/databases/postgres/embedded/binaries.ts';
import { startCluster, type Cluster } from '../../src/databases/postgres/embedded/cluster.ts';

/** A folder that goes away, with every server that still runs in it. */
export async function newHome(t: ExecutionContext, name = 'home'): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'cutover-embedded-'));
  await chmod(parent, 0o755);
  const home = join(parent, name);
  t.teardown(async () => {
    const pid = postmaster(home);
    if (pid !== undefined && lives(pid)) {
      process.kill(pid, 'SIGKILL');
      await gone(pid);
    }
    await rm(parent, { recursive: true, force: true });
  });
  return home;
}

export function postmaster(home: string): number | undefined {
  const file = join(home, 'data', 'postmaster.pid');
  return existsSync(file) ? Number(readFileSync(file, 'utf8').split('\n')[0]) : undefined;
}

export function lives(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

export async function gone(pid: number): Promise<boolean> {
  for (const until = Date.now() + 10_000; lives(pid) && Date.now() < until;) await sleep(20);
  return !lives(pid);
}

export const begin = async (home: string): Promise<Cluster> =>
  startCluster({ binaries: await embeddedBinaries(), home, settings: { fsync: 'off' } });

export const moduleUrl = (name: string): string =>
  JSON.stringify(new URL(`../../src/databases/postgres/embedded/${name}.ts`, import.meta.url).href);

/** Another process that starts the server in `home`, prints its pid and waits for a line before it goes on to stop it. */
export function otherProcess(
  home: string,
  more: { uid?: number; gid?: number; env?: Record<string, string> } = {},
): ChildProcess {
  const script = `
    import { once } from 'node:events';
    const { embeddedBinaries } = await import(${moduleUrl('binaries')});
    const { startCluster } = await import(${moduleUrl('cluster')});
    const cluster = await startCluster({ binaries: await embeddedBinaries(), home: ${JSON.stringify(home)} });
    console.log(cluster.pid, cluster.url('postgres'));
    await once(process.stdin, 'data');
    await cluster.stop();
    console.log('stopped');
    process.exit();`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
    ...more,
  });
}

export async function firstLine(child: ChildProcess): Promise<{ pid: number; url: string }> {
  const lines = createInterface({ input: child.stdout! });
  const [line] = (await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(() => ['0 exited']),
  ])) as [string];
  const [pid, url] = line.split(' ');
  return { pid: Number(pid), url: url! };
}

export async function finish(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.stdin!.write('\n');
  await exit;
}
