import { UsageError, type ExitCode } from '../core/errors.ts';
import type { Check } from '../core/drivers/check.ts';
import { compare, type Compared, type Comparing } from '../run/compare.ts';
import { bareChecks, openBareCheck, type Surroundings } from '../run/open.ts';
import { againstBackup } from './shared/against.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { jobsOf, listOf, maxActiveOf } from './arguments/lists.ts';
import { givenUrl } from './arguments/given-url.ts';
import { withSignals } from './running/signals.ts';
import { surroundingsOf } from './shared/surroundings.ts';
import { progressLines, tellVerdict, type VerdictOptions } from './shared/verdict.ts';

type CompareOptions = Options<
  VerdictOptions & {
    jobs?: string;
    maxActive?: string;
    tables?: string;
    checks?: string;
    ignoreTables?: string;
    ignoreColumns?: string;
    showValues?: true;
    sample?: string;
    against?: string;
  }
>;

const DEFAULT_CHECKS = 'schema,checksums,sequences';
/** Of rows: the others look at everything. */
const BY_TABLE = ['row-counts', 'checksums'];

/** Compares two databases, whoever made them; the second one may be in a backup. */
export async function run(
  [blue, green]: readonly (string | undefined)[],
  options: CompareOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const { against } = options;
  if ((green === undefined) === (against === undefined))
    throw new UsageError('two databases are compared, or one and a backup', {
      hint: "write cutover compare '${BLUE_URL}' '${GREEN_URL}', or cutover compare '${URL}' --against FILE",
    });
  const around = await surroundingsOf(options);
  const url = givenUrl(blue!, around.resolve);
  const other = green === undefined ? undefined : givenUrl(green, around.resolve);
  const tables = options.tables === undefined ? undefined : listOf(options.tables);
  const names = listOf(options.checks ?? (tables ? 'checksums' : DEFAULT_CHECKS));
  const checks = names.map((name) => ({ name, check: openCheck(name, options, around) }));
  const jobs = jobsOf(options.jobs);
  const maxActive = maxActiveOf(options.maxActive);
  const progress = progressLines(io, options);
  const started = performance.now();
  return withSignals(
    io.err,
    async (signal) => {
      const compareWith = (to: string): Promise<Compared> => {
        const urls: Comparing['urls'] = { blue: url, green: to };
        const expect = { renamed: {}, dropped: [], changed: [] };
        return compare({ urls, checks, tables, expect, env: {}, jobs, maxActive, signal, progress });
      };
      const backup = { path: against!, url, around, quiet: options.quiet, signal };
      const compared = await (other === undefined
        ? againstBackup(backup, io, async (copy) => {
            const { findings, places } = await compareWith(copy.url);
            return { findings, places: { blue: places.blue, green: copy.place } };
          })
        : compareWith(other));
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
