import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Playbook } from '../core/playbook.ts';
import type { Environment } from './values/environment.ts';
import { parsePlaybook } from './parse.ts';
import { readLimited } from './text/read.ts';
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

const readFixture = (folder: string): unknown =>
  JSON.parse(readFileSync(join(folder, 'fixture.json'), 'utf8'));
