import { writeFile } from 'node:fs/promises';
import { EXIT, messageOf, UsageError, type ExitCode } from '../../core/errors.ts';
import type { Finding } from '../../core/drivers/check.ts';
import { findingsText } from '../../report/findings.ts';
import { junitText } from '../../report/junit.ts';
import { isProved, type Compared } from '../../run/compare.ts';
import { progressText } from '../../run/screen/phrases.ts';
import { redact, redactDeep } from '../../util/redact.ts';
import { formatDuration, plural } from '../../util/units.ts';
import type { CommandIo } from './io.ts';

/** How a comparison is told; of every command that makes one. */
export interface VerdictOptions {
  readonly quiet?: true;
  readonly json?: true;
  readonly junit?: string;
}

const PROGRESS_MS = 5000;

/** A line now and then, for whoever waits. */
export function progressLines(io: CommandIo, { quiet }: VerdictOptions) {
  let [check, startedAt, shownAt] = ['', Date.now(), Date.now()];
  return (name: string, done: number, total: number, note?: string): void => {
    if (name !== check) [check, startedAt] = [name, Date.now()];
    if (quiet || Date.now() - shownAt < PROGRESS_MS) return;
    shownAt = Date.now();
    const progress = { done, total, unit: 'rows', ...(note === undefined ? {} : { note }) };
    io.err(`${name}: ${progressText(progress, Date.now() - startedAt)}`);
  };
}

/** Prints what was found, writes the JUnit file, and gives the exit code. */
export async function tellVerdict(
  { findings, places }: Compared,
  ms: number,
  options: VerdictOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const proved = isProved(findings);
  if (options.junit !== undefined) await writeJunit(options.junit, findings, ms);
  if (options.json)
    io.out(JSON.stringify(redactDeep({ proved, ...places, findings, ms: Math.round(ms) }), null, 2));
  else if (options.quiet) io.out(redact(oneLine(findings)));
  else {
    io.err(`${places.blue} (blue) and ${places.green} (green), in ${formatDuration(ms)}\n`);
    io.out(redact(findingsText(findings, io.outStyle)));
  }
  return proved ? EXIT.done : EXIT.differences;
}

function oneLine(findings: readonly Finding[]): string {
  const broken = findings.filter(({ severity }) => severity === 'failure' || severity === 'unknown');
  if (broken.length === 0)
    return `proved: ${findings.flatMap(({ severity, message }) => (severity === 'ok' ? [message] : [])).join('; ')}`;
  return `not proved: ${plural(broken.length, 'problem')}; the first: ${broken[0]!.message}`;
}

export const writeJunit = (file: string, findings: readonly Finding[], ms: number): Promise<void> =>
  writeReport('JUnit', file, redact(junitText('cutover', findings, ms)));

/** Throws UsageError when it cannot be written. */
export async function writeReport(what: string, file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    throw new UsageError(`the ${what} file cannot be written: ${messageOf(cause)}`, { where: file, cause });
  }
}
