import { EXIT, type ExitCode } from '../core/errors.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { collectMetrics, writeMetrics } from './shared/metrics.ts';
import { surroundingsOf } from './shared/surroundings.ts';

type MetricsOptions = Options<{ output?: string }>;

/** What the journals know, as metrics. It asks no server of a run. */
export async function run(
  [places]: readonly unknown[],
  options: MetricsOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const { env } = await surroundingsOf(options);
  const text = await collectMetrics(options, {
    places: places as readonly string[],
    env,
    say: (line) => io.err(line),
  });
  if (options.output === undefined) io.out(text.trimEnd());
  else await writeMetrics(options.output, text);
  return EXIT.done;
}
