import { linkSync, renameSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isServerError } from '../../core/errors.ts';
import type { Undo } from '../../core/drivers/stand-in.ts';
import { quoteIdentifier } from '../../util/sql.ts';
import type { Stage } from './stage.ts';

/** The longest name that file systems have. */
const LONGEST = 255;

/**
 * The file gets a name that is as long as a name can be, and a symbolic link its own: whoever reads it finds what was
 * there, and nobody can put a file beside it that has its name and something more. Whoever may write everywhere cannot
 * either, as a folder without the right to write would let root.
 */
export async function obstruct(path: string): Promise<Undo> {
  const name = basename(path);
  const long = join(dirname(path), name + '-'.repeat(LONGEST - Buffer.byteLength(name)));
  const on = `${path}-link`;
  symlinkSync(long, on);
  // In one go: a flip in between would be undone. Nobody finds the file missing for a moment.
  linkSync(path, long);
  renameSync(on, path);
  return async () => renameSync(long, path);
}

/** Takes the name that blue is to have after a rename; where the run has it already, there is nothing to take. */
export async function occupy(stage: Stage): Promise<Undo> {
  const name = quoteIdentifier(stage.names.previous);
  try {
    await stage.ask('blue', 'postgres', `CREATE DATABASE ${name}`);
  } catch (error) {
    if (isServerError(error) && error.code === '42P04') return async () => undefined;
    throw error;
  }
  return async () => {
    await stage.ask('blue', 'postgres', `DROP DATABASE ${name} WITH (FORCE)`);
  };
}
