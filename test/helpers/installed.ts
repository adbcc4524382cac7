import { execFileSync } from 'node:child_process';

/** Whether a program is there; tests that need it are skipped with a word otherwise. */
export function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
