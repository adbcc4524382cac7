import type { Finding } from '../core/drivers/check.ts';
import { predict, type Measured } from '../plan/predict.ts';
import { measuredOf } from '../run/measured.ts';
import { formatDuration } from '../util/units.ts';
import { tidy } from './faults/strike.ts';
import type { Take } from './take.ts';
import type { Told } from './tool.ts';

/** Makes the run and retires it, with clients at work; gives how long its steps took. */
export async function measureRun(
  take: Take,
  heard: (told: Told) => void,
  follows: boolean,
): Promise<Measured[]> {
  const { clients, tool } = take;
  try {
    clients.start();
    await take.settle();
    heard(
      await tool.call(['run', 'playbook.yml', '--yes', '--json'], (event) => {
        if (!follows && event.type === 'step-started' && event.step === 'fence') clients.reading = true;
      }),
    );
    await clients.stop();
    const runs = await take.runs();
    await tidy(take, runs.at(-1));
    return runs.filter(({ phase }) => phase === 'completed').map(measuredOf);
  } finally {
    await take.end();
  }
}

/** Steps that grow with the database. */
const GROWING = /^(?:clone|migrate|verify)/;

/** Of three sizes or more: how far the last one is from what the others would have predicted. */
export function deviations(sizes: readonly (readonly Measured[])[]): Finding[] {
  const last = sizes.at(-1) ?? [];
  if (sizes.length < 3) return [];
  const known = sizes.slice(0, -1).flat();
  return last.flatMap(({ bytes, steps, way }) =>
    Object.entries(steps).flatMap(([step, ms]) => {
      const fitting = step === 'clone' ? known.filter((one) => one.way === way) : known;
      const estimate = GROWING.test(step) ? predict(fitting, step, bytes) : undefined;
      if (!estimate) return [];
      const { least = 0, most = Infinity } = estimate;
      const part = Math.round((100 * (ms - estimate.ms)) / Math.max(1, estimate.ms));
      const inside = ms >= least && ms <= most;
      return [
        {
          check: 'prediction',
          severity: inside ? ('note' as const) : ('warning' as const),
          message: `${step}: ${formatDuration(estimate.ms)} predicted, ${formatDuration(ms)} measured (${part >= 0 ? '+' : ''}${part} %)`,
        },
      ];
    }),
  );
}
