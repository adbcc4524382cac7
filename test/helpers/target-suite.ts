import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ava from 'ava';
import type { Database, Names } from '../../src/core/database/database.ts';
import type { Target, TargetContext } from '../../src/core/drivers/target.ts';
import { envFile } from '../../src/targets/env-file.ts';

export const names: Names = { blue: 'shop', green: 'shop_green', previous: 'shop' };
type Options = Partial<Parameters<typeof envFile.open>[0]> & { path: string };

/** Tests of a file that point targets from one side to the other, one after the other. */
export interface TargetSuite {
  readonly test: typeof ava.serial;
  /** Removed with everything in it after the last test. */
  readonly folder: string;
  readonly context: (more?: Partial<TargetContext>) => TargetContext;
  /** A target as the playbook opens it: options parsed, then given to the driver. */
  readonly openEnv: (options: Options, more?: Partial<TargetContext>) => Target;
  readonly newFolder: () => Promise<string>;
  /** A new file, alone in its folder. */
  readonly fileWith: (content: string | Buffer) => Promise<string>;
}

export function targetSuite(): TargetSuite {
  const folder = mkdtempSync(join(tmpdir(), 'cutover-targets-'));
  ava.after.always(() => rm(folder, { recursive: true, force: true }));
  const context = (more: Partial<TargetContext> = {}): TargetContext => ({
    folder,
    database: undefined as unknown as Database,
    names,
    renames: false,
    places: undefined,
    resolve: (text) => text,
    ...more,
  });
  const newFolder = async (): Promise<string> => {
    const path = join(folder, randomBytes(4).toString('hex'));
    await mkdir(path);
    return path;
  };
  return {
    test: ava.serial,
    folder,
    context,
    openEnv: (options, more) => envFile.open(envFile.options.parse(options), context(more)),
    newFolder,
    async fileWith(content) {
      const path = join(await newFolder(), '.env');
      await writeFile(path, content);
      return path;
    },
  };
}
