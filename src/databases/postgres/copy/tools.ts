import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { parseIntoClientConfig } from 'pg-connection-string';
import { StepError } from '../../../core/errors.ts';
import { run } from '../../../util/exec.ts';
import { withDatabase } from '../../../util/url.ts';
import type { Address } from '../address.ts';

/** The path of a client program of PostgreSQL, in a folder or on PATH. */
export async function findTool(name: string, folder: string | undefined): Promise<string> {
  const folders = folder === undefined ? (process.env['PATH'] ?? '').split(delimiter) : [folder];
  for (const each of folders) {
    const path = join(each, name);
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new StepError(`${name} was not found ${folder === undefined ? 'on PATH' : `in ${folder}`}`, {
    hint: "install PostgreSQL's client programs, or say where they are: --tools DIR",
  });
}

/** Its major version; throws StepError when it cannot be asked. */
export async function versionOfTool(name: string, folder: string | undefined): Promise<number> {
  const path = await findTool(name, folder);
  const { code, output } = await run(
    { file: path, args: ['--version'] },
    { cwd: '/', env: process.env, timeout: 10_000 },
  );
  const major = /\b(\d+)(?:\.\d+)?/.exec(output)?.[1];
  if (code !== 0 || major === undefined)
    throw new StepError(`${path} does not say its version`, { detail: output });
  return Number(major);
}

/** Of a client program: passwords go by the environment, never by an argument. */
export function toolEnvironment(address: Address): NodeJS.ProcessEnv {
  const { password } = parseIntoClientConfig(address.url);
  return {
    ...process.env,
    PGAPPNAME: address.application,
    ...(typeof password === 'string' ? { PGPASSWORD: password } : {}),
  };
}

/** The connection string that may be an argument. */
export function withoutPassword(address: Address, database: string): string {
  const url = new URL(withDatabase(address.url, database));
  url.password = '';
  return url.href;
}
