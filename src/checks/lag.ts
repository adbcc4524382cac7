import { z } from 'zod';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import { duration, size } from '../util/options.ts';
import { formatBytes, formatDuration } from '../util/units.ts';
import { checkOptions } from './shared/manner.ts';
import { abortable, failure } from './shared/run.ts';

const NAME = 'lag';
/** Longer than that no look is waited for. */
const LONGEST_MS = 30_000;

const options = checkOptions({
  bytes: size().optional().meta({ description: 'So much may be written that has not arrived: 64MB.' }),
  time: duration()
    .refine((ms) => ms > 0 && ms <= LONGEST_MS, { error: 'must be more than nothing, and at most 30s' })
    .optional()
    .meta({ description: 'So long may a change take until it is there: 5s.' }),
}).refine(({ bytes, time }) => bytes !== undefined || time !== undefined, {
  error: 'needs "bytes" or "time"',
});
type Options = z.infer<typeof options>;

/** Whether the previous copy keeps up with what is written to green: a swap back waits until it is level. */
export const lag: Driver<Options, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'The previous copy keeps up with green',
  options,
  open: (options) => ({
    when: 'green-open',
    describe: () => [`how far the previous copy is behind green: ${expectation(options)}`],
    run: (context) => run(context, options),
  }),
};

const expectation = ({ bytes, time }: Options): string =>
  [
    ...(bytes === undefined ? [] : [`at most ${formatBytes(bytes)}`]),
    ...(time === undefined ? [] : [`at most ${formatDuration(time)} until a change is there`]),
  ].join(', ');

async function run({ wayBack, signal }: CheckContext, { bytes, time }: Options): Promise<Finding[]> {
  if (!wayBack) throw new TypeError('nothing follows green in this run');
  const { bytes: behind, running, error } = await abortable(signal, () => wayBack.lag());
  if (error !== undefined) return [failure(NAME, `the previous copy does not follow: ${error}`)];
  if (!running) return [failure(NAME, 'nobody applies to the previous copy what is written')];
  const findings: Finding[] = [];
  if (bytes !== undefined) {
    const words = `the previous copy is ${formatBytes(behind)} behind`;
    findings.push(behind > bytes ? failure(NAME, `${words}, more than ${formatBytes(bytes)}`) : ok(words));
  }
  if (time !== undefined) {
    const took = await abortable(signal, () => wayBack.beat(time));
    findings.push(
      took === undefined
        ? failure(NAME, `a change takes longer than ${formatDuration(time)} to reach the previous copy`)
        : ok(`a change takes ${formatDuration(took)} to reach the previous copy`),
    );
  }
  return findings;
}

const ok = (message: string): Finding => ({ check: NAME, severity: 'ok', message });
