import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Playbook } from '../core/playbook.ts';
import type { Environment } from './values/environment.ts';
import { parsePlaybook } from './parse.ts';
import { readLimited } from '../core/text/read.ts';
import { registries } from './schema.ts';

/**
 * Reads, parses and validates a playbook with all drivers that there are.
 *
 * @throws PlaybookError with every mistake of the file, UsageError when it cannot be read; both exit with 2.
 */
export async function loadPlaybook(file: string, env: Environment): Promise<Playbook> {
  const text = await readLimited(file);
  // Few playbooks name calendars, and the library that reads them is large.
  const readCalendar = /\bexcept\b/.test(text)
    ? (await import('./calendar/read.ts')).readCalendar
    : undefined;
  return parsePlaybook(text, { file, env, registries, readFixture, readCalendar });
}

function readFixture(folder: string): unknown {
  const file = join(folder, 'fixture.yml');
  if (!existsSync(file) && existsSync(join(folder, 'fixture.json')))
    throw new Error('rename fixture.json to fixture.yml; JSON is YAML');
  return parse(readFileSync(file, 'utf8'));
}
