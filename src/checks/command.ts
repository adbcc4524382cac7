import { z } from 'zod';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import { failureOf, run as execute, shellLine } from '../util/exec.ts';
import { duration } from '../util/options.ts';
import { addSecretsOfUrl, redact } from '../util/redact.ts';
import { formatDuration } from '../util/units.ts';
import { checkOptions } from './shared/manner.ts';
import { failure } from './shared/run.ts';

const NAME = 'command';
const options = checkOptions({
  run: z.string().min(1).meta({ description: 'A shell line; it passes when it exits with 0.' }),
  timeout: duration().prefault('1m').meta({ description: 'How long it may take.' }),
  variable: z
    .string()
    .regex(/^[A-Za-z_]\w*$/, { error: 'is not the name of an environment variable' })
    .default('DATABASE_URL')
    .meta({ description: "Environment variable that holds green's connection string." }),
});
type Options = z.infer<typeof options>;

/** Lines of output that a failure shows. */
const LINES = 15;

/** Runs a program of the team's own against green. */
export const command: Driver<Options, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'A program of your own passes on green',
  options,
  verbatim: ['run'],
  open: (options, opened) => ({
    when: 'green-open',
    describe: () => [
      `${options.run}   (with ${options.variable} for green, at most ${formatDuration(options.timeout)})`,
      'runs before green is closed: what it writes to green stays there',
    ],
    run: (context) => run(context, options, opened),
  }),
};

async function run(context: CheckContext, options: Options, opened: CheckOpenContext): Promise<Finding[]> {
  context.signal.throwIfAborted();
  const url = context.env['GREEN_URL'];
  if (url !== undefined) addSecretsOfUrl(url);
  const result = await execute(shellLine(options.run), {
    cwd: opened.folder,
    env: { ...opened.env, ...context.env, ...(url === undefined ? {} : { [options.variable]: url }) },
    timeout: options.timeout,
    signal: context.signal,
    onLine: (line) => context.progress(0, 1, redact(line)),
  });
  context.signal.throwIfAborted();
  const line = redact(options.run);
  const how = failureOf(result, options.timeout);
  if (how === undefined)
    return [{ check: NAME, severity: 'ok', message: `${line} passed in ${formatDuration(result.ms)}` }];
  const detail = redact(result.output.trimEnd().split('\n').slice(-LINES).join('\n'));
  return [failure(NAME, `${line} ${how}`, { detail })];
}
