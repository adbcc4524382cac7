import { UsageError, type ExitCode } from '../core/errors.ts';
import type { Check } from '../core/check.ts';
import { compare } from '../run/compare.ts';
import { bareChecks, openBareCheck, type Surroundings } from '../run/open.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { jobsOf, listOf } from './shared/lists.ts';
import { givenUrl } from './shared/given-url.ts';
import { withSignals } from './shared/signals.ts';
import { surroundingsOf } from './shared/surroundings.ts';
import { progressLines, tellVerdict, type VerdictOptions } from './shared/verdict.ts';

type CompareOptions = Options<
  VerdictOptions & {
    jobs?: string;
    tables?: string;
    checks?: string;
    ignoreTables?: string;
    ignoreColumns?: string;
    showValues?: true;
    sample?: string;
  }
>;

const DEFAULT_CHECKS = 'schema,checksums,sequences';
/** Of rows: the others look at everything. */
const BY_TABLE = ['row-counts', 'checksums'];

/** Compares two databases, whoever made them. */
export async function run(
  [blue, green]: readonly (string | undefined)[],
  options: CompareOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const urls = { blue: givenUrl(blue!, around.resolve), green: givenUrl(green!, around.resolve) };
  const tables = options.tables === undefined ? undefined : listOf(options.tables);
  const names = listOf(options.checks ?? (tables ? 'checksums' : DEFAULT_CHECKS));
  const checks = names.map((name) => ({ name, check: openCheck(name, options, around) }));
  const started = performance.now();
  return withSignals(
    io.err,
    async (signal) => {
      const compared = await compare({
        urls,
        checks,
        tables,
        expect: { renamed: {}, dropped: [], changed: [] },
        env: {},
        jobs: jobsOf(options.jobs),
        signal,
        progress: progressLines(io, options),
      });
      return tellVerdict(compared, performance.now() - started, options, io);
    },
    { means: 'the reading ends; nothing was touched' },
  );
}

function openCheck(name: string, options: CompareOptions, around: Surroundings): Check {
  const check = openBareCheck(
    name,
    {
      ...(BY_TABLE.includes(name) && { 'ignore-tables': listOf(options.ignoreTables ?? '') }),
      ...(name === 'checksums' && {
        'ignore-columns': listOf(options.ignoreColumns ?? ''),
        'show-values': options.showValues === true,
        ...(options.sample !== undefined && { sample: options.sample }),
      }),
    },
    around,
  );
  if (!check)
    throw new UsageError(`--checks names ${name}, which is none that needs no options`, {
      hint: `there are ${bareChecks().join(', ')}`,
    });
  if (options.tables !== undefined && !BY_TABLE.includes(name))
    throw new UsageError(`${name} looks at everything, and --tables at some tables`, {
      hint: `leave --tables out, or choose from --checks ${BY_TABLE.join(',')}`,
    });
  return check;
}
