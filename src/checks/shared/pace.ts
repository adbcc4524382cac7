import { z } from 'zod';
import type { Pace } from '../../core/database/catalog.ts';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../../core/drivers/check.ts';
import type { Driver } from '../../core/drivers/driver.ts';
import type { Side } from '../../core/side.ts';
import { formatDuration, plural } from '../../util/units.ts';
import { checkOptions } from './manner.ts';
import { abortable, reading, unread } from './run.ts';

/** The options of a check that reads rows: its own, and those of every check. */
export const pacedOptions = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  checkOptions({
    ...shape,
    'max-active': z.number().int().min(0).max(99_999).optional().meta({
      description:
        'No reading of rows begins while more sessions of others than that are active on the server; only with sync: logical.',
    }),
  });

const SIDES = ['blue', 'green'] as const;

/** A check that reads rows, and gives way to others who work on the same servers. */
export const paced = <Options extends { readonly 'max-active'?: number | undefined }>(
  driver: Driver<Options, CheckOpenContext, Check>,
): Driver<Options, CheckOpenContext, Check> => ({
  ...driver,
  open(options, context) {
    const check = driver.open(options, context);
    const most = options['max-active'];
    return {
      ...check,
      paced: true,
      describe: () => [...check.describe(), ...(most === undefined ? [] : [`waits while ${busier(most)}`])],
      run(given) {
        const limit = given.maxActive ?? most;
        return limit === undefined ? check.run(given) : withPace(driver.name, limit, given, check);
      },
    };
  },
});

const busier = (most: number): string => `more than ${plural(most, 'session')} of others are active`;

async function withPace(name: string, most: number, context: CheckContext, check: Check): Promise<Finding[]> {
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  let [done, total] = [0, 0];
  const waits = stopwatch();
  const pace = (side: Side): Pace => ({
    most,
    signal,
    waiting(active, since) {
      waits.begin(side);
      context.progress(
        done,
        total,
        `waiting since ${since.toISOString().slice(11, 19)}Z: ${plural(active, 'session')} of others active on ${side}'s server, more than ${most}`,
      );
    },
    goesOn: () => waits.end(side),
  });
  const progress: CheckContext['progress'] = (...told) => {
    [done, total] = told;
    context.progress(...told);
  };
  try {
    for (const side of SIDES)
      await abortable(context.signal, () => reading(side, () => context[side].setPace(pace(side))));
    const findings = await check.run({ ...context, progress });
    const waited = waits.ms();
    if (waited === 0) return findings;
    const message = `waited ${formatDuration(waited)} in all, because ${busier(most)}`;
    return [...findings, { check: name, severity: 'note', message }];
  } catch (error) {
    return [unread(name, 'rows', error)];
  } finally {
    over.abort();
    for (const side of SIDES) await context[side].setPace(undefined);
  }
}

/** Time in which one side waits, or both. */
function stopwatch() {
  const waiting = new Set<Side>();
  let [since, sum] = [0, 0];
  const now = (): number => (waiting.size === 0 ? 0 : performance.now() - since);
  return {
    begin(side: Side): void {
      if (waiting.size === 0) since = performance.now();
      waiting.add(side);
    },
    end(side: Side): void {
      const passed = now();
      waiting.delete(side);
      if (waiting.size === 0) sum += passed;
    },
    ms: (): number => sum + now(),
  };
}
