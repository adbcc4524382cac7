import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { messageOf, UsageError } from '../core/errors.ts';
import type { RunState } from '../journal/state.ts';
import { wayOf, type Measured } from '../plan/predict.ts';

/** What a run's journal says of how long its steps took; steps that did not come through count for nothing. */
export const measuredOf = ({ plan, steps }: RunState): Measured => ({
  bytes: plan.blue.bytes,
  way: plan.steps.map(wayOf).find((way) => way !== undefined),
  steps: Object.fromEntries(
    Object.entries(steps).flatMap(([id, { phase, ms }]) =>
      phase === 'done' && ms !== undefined ? [[id, ms]] : [],
    ),
  ),
});

const THROUGH: ReadonlySet<string> = new Set([
  'completed',
  'swapping back',
  'swapped back',
  'retiring',
  'retired',
]);

/** Of the runs of a playbook that came through. */
export const measuredIn = (states: readonly RunState[], name: string): Measured[] =>
  states.filter(({ plan, phase }) => plan.name === name && THROUGH.has(phase)).map(measuredOf);

const rates = z.object({
  format: z.literal(1),
  measured: z.array(
    z.object({
      bytes: z.number().positive(),
      steps: z.record(z.string(), z.number()),
      way: z.string().optional(),
    }),
  ),
});

/** Reads what a rehearsal has written. Throws UsageError when it is no such file. */
export async function readRates(file: string): Promise<Measured[]> {
  try {
    return rates.parse(JSON.parse(await readFile(file, 'utf8'))).measured;
  } catch (cause) {
    throw new UsageError(`the rates cannot be read: ${messageOf(cause)}`, {
      where: file,
      cause,
      hint: 'such a file is written by: cutover rehearse PLAYBOOK --rates FILE',
    });
  }
}

/** Throws UsageError when it cannot be written. */
export async function writeRates(file: string, measured: readonly Measured[]): Promise<void> {
  try {
    await writeFile(file, `${JSON.stringify({ format: 1, measured }, null, 2)}\n`);
  } catch (cause) {
    throw new UsageError(`the rates cannot be written: ${messageOf(cause)}`, { where: file, cause });
  }
}
