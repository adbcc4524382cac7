import { EXIT, type ExitCode } from '../core/errors.ts';
import type { CommandIo, Options } from './shared/io.ts';
import { collectMetrics, writeMetrics } from './shared/metrics.ts';
import { surroundingsOf } from './shared/surroundings.ts';

type MetricsOptions = Options<{ output?: string; lag?: true }>;

/** What the journals know, as metrics, and how far who follows is behind where that is asked for. */
export async function run(
  [places]: readonly unknown[],
  options: MetricsOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const around = await surroundingsOf(options);
  const text = await collectMetrics(
    options,
    { places: places as readonly string[], env: around.env, say: (line) => io.err(line) },
    options.lag ? around : undefined,
  );
  if (options.output === undefined) io.out(text.trimEnd());
  else await writeMetrics(options.output, text);
  return EXIT.done;
}
