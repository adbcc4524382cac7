import { parseEnv } from 'node:util';
import { UsageError } from '../../core/errors.ts';
import type { Resolve } from '../../core/drivers/driver.ts';
import { interpolate, registerSecrets, type Variables } from './interpolate.ts';
import { ENV_FILE } from '../../core/text/kinds.ts';
import { readLimited } from '../../core/text/read.ts';

/** The values that a playbook's `${NAME}` references stand for. */
export interface Environment {
  /** Also what child processes get. */
  readonly variables: Variables;
  /** Registers what it gives for redaction, as it is asked for in places of secrets. */
  readonly resolve: Resolve;
}

/** An environment of these variables and no others. */
export function createEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const own = Object.create(null) as Record<string, string>;
  for (const [name, value] of Object.entries(variables)) if (value !== undefined) own[name] = value;
  return { variables: Object.freeze(own), resolve: (text) => resolve(text, own) };
}

/**
 * The process's environment together with files of `NAME=value` lines (`--env-file`). As with node and docker, what
 * is set in the environment wins over the files; of several files the last one wins.
 *
 * @throws UsageError when a file cannot be read.
 */
export async function readEnvironment(
  files: readonly string[] = [],
  processEnv: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Environment> {
  const fromFiles: Record<string, string | undefined>[] = [];
  for (const file of files) fromFiles.push(parseEnv(await readLimited(file, ENV_FILE)));
  return createEnvironment(Object.assign({}, ...fromFiles, processEnv) as Record<string, string | undefined>);
}

function resolve(text: string, variables: Variables): string {
  const result = interpolate(text, variables);
  const [fault] = result.faults;
  // The text is not printed: it may hold more than references.
  if (fault) throw new UsageError(fault.message);
  registerSecrets(result, true);
  return result.text;
}
