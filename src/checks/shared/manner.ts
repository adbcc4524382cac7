import { z } from 'zod';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../../core/drivers/check.ts';
import type { Driver } from '../../core/drivers/driver.ts';
import { duration } from '../../util/options.ts';
import { formatDuration } from '../../util/units.ts';

const LONGEST_MS = 7 * 24 * 3600 * 1000;

/** How any check is taken, whatever it looks at. */
const manner = () => ({
  severity: z
    .enum(['failure', 'warning'])
    .optional()
    .meta({ description: 'warning: what it finds is told, and the run goes on all the same.' }),
  limit: duration()
    .refine((ms) => ms > 0 && ms <= LONGEST_MS, { error: 'must be more than nothing, and at most 7d' })
    .optional()
    .meta({ description: 'The longest time that it may take; one that does not finish has not passed.' }),
});

/** The options of a check: its own, and those of every check. */
export const checkOptions = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject({ ...shape, ...manner() });

interface Manner {
  readonly severity?: 'failure' | 'warning' | undefined;
  readonly limit?: number | undefined;
}

/** A check that is taken as its options say. */
export const mannered = <Options extends Manner>(
  driver: Driver<Options, CheckOpenContext, Check>,
): Driver<Options, CheckOpenContext, Check> => ({
  ...driver,
  open(options, context) {
    const check = driver.open(options, context);
    return {
      ...check,
      describe: () => [...check.describe(), ...wordsOf(options)],
      async run(given) {
        const findings = await withLimit(driver.name, options.limit, given, (limited) => check.run(limited));
        return options.severity === 'warning' ? findings.map(lowered) : findings;
      },
    };
  },
});

function wordsOf({ severity, limit }: Manner): string[] {
  return [
    ...(severity === 'warning' ? ['what it finds is only told'] : []),
    ...(limit === undefined ? [] : [`may take ${formatDuration(limit)}`]),
  ];
}

const lowered = (finding: Finding): Finding =>
  finding.severity === 'failure' || finding.severity === 'unknown'
    ? { ...finding, severity: 'warning' }
    : finding;

async function withLimit(
  check: string,
  limit: number | undefined,
  context: CheckContext,
  work: (context: CheckContext) => Promise<Finding[]>,
): Promise<Finding[]> {
  if (limit === undefined) return work(context);
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), limit);
  const { blue, green } = context;
  // The servers end what they are asked by themselves: nobody who comes next waits behind it.
  for (const reader of [blue, green]) reader.setDeadline(performance.now() + limit);
  try {
    const findings = await work({ ...context, signal: AbortSignal.any([context.signal, over.signal]) });
    return over.signal.aborted ? [...findings, unfinished(check, limit)] : findings;
  } catch (error) {
    context.signal.throwIfAborted();
    if (!over.signal.aborted) throw error;
    return [unfinished(check, limit)];
  } finally {
    clearTimeout(timer);
    for (const reader of [blue, green]) reader.setDeadline(undefined);
  }
}

const unfinished = (check: string, limit: number): Finding => ({
  check,
  severity: 'unknown',
  message: `did not finish within ${formatDuration(limit)}`,
  hint: `give it more time: ${check}: { limit: … }`,
});
