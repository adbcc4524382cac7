import { z } from 'zod';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import { messageOf } from '../core/errors.ts';
import { duration } from '../util/options.ts';
import { addSecretsOfUrl, redact } from '../util/redact.ts';
import { formatDuration } from '../util/units.ts';
import { checkOptions } from './shared/manner.ts';
import { failure } from './shared/run.ts';

const NAME = 'http';
const options = checkOptions({
  url: z.string().min(1).meta({ description: 'What is fetched with GET: http://… or https://…' }),
  status: z
    .int()
    .min(100)
    .max(599)
    .default(200)
    .meta({ description: 'The status that it must answer with.' }),
  contains: z.string().min(1).optional().meta({ description: 'A text that must stand in the answer.' }),
  timeout: duration().prefault('10s').meta({ description: 'How long the whole answer may take.' }),
});
type Options = z.infer<typeof options>;

/** Characters of an answer that a failure shows. */
const SHOWN = 500;

/** Asks an instance of the application that works on green, and that the playbook's hooks have started. */
export const http: Driver<Options, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'An address answers as you expect',
  options,
  secrets: ['url'],
  open: (options, { resolve }) => ({
    when: 'green-open',
    describe: () => [`GET ${redact(options.url)}: expects ${expectation(options)}`],
    run: (context) => run(context, options, resolve(options.url)),
  }),
};

const expectation = ({ status, contains }: Options): string =>
  `${status}${contains === undefined ? '' : ` with ${JSON.stringify(contains)} in it`}`;

async function run(context: CheckContext, options: Options, url: string): Promise<Finding[]> {
  addSecretsOfUrl(url);
  const shown = redact(options.url);
  const started = performance.now();
  try {
    // Somewhere else is not the answer that was asked for.
    const response = await fetch(url, {
      redirect: 'manual',
      signal: AbortSignal.any([context.signal, AbortSignal.timeout(options.timeout)]),
    });
    const text = await response.text();
    const wrong = wrongIn(response.status, text, options);
    if (wrong === undefined) {
      const took = formatDuration(performance.now() - started);
      return [
        { check: NAME, severity: 'ok', message: `${shown} answers ${expectation(options)} in ${took}` },
      ];
    }
    return [failure(NAME, `${shown} ${wrong}`, { detail: redact(text.slice(0, SHOWN)) })];
  } catch (error) {
    context.signal.throwIfAborted();
    return [failure(NAME, `${shown} cannot be asked: ${redact(reason(error, options))}`)];
  }
}

function wrongIn(status: number, text: string, options: Options): string | undefined {
  if (status !== options.status) return `answers ${status} instead of ${options.status}`;
  if (options.contains === undefined || text.includes(options.contains)) return undefined;
  return `answers without ${JSON.stringify(options.contains)}`;
}

/** What stands behind the general words of fetch. */
function reason(error: unknown, { timeout }: Options): string {
  if (error instanceof Error && error.name === 'TimeoutError')
    return `no answer within ${formatDuration(timeout)}`;
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? messageOf(error) : `${messageOf(error)} (${messageOf(cause)})`;
}
