import type { ClonePlan } from '../core/database/clone.ts';
import type { Plan, PlannedStep } from '../core/plan.ts';
import { formatBytes, plural, type Estimate } from '../util/units.ts';

/** How long the steps of a run took on a database of that size, in milliseconds by their ids. */
export interface Measured {
  readonly bytes: number;
  readonly steps: Readonly<Record<string, number>>;
  /** How the copy was made: one way says nothing of another one. */
  readonly way?: string | undefined;
}

/** Databases of nearly one size are measured as one. */
const SAME = 1.05;
/** What two runs of one thing on one machine differ by. */
const NOISE = 0.25;
/** For every doubling beyond what was measured. */
const BEYOND = 0.05;

/** The plan with estimates from what was measured, where anything was. */
export function predicted(plan: Plan, measured: readonly Measured[]): Plan {
  const steps = plan.steps.map((step) => {
    // How long a person takes to answer is not measured by how long others took.
    const estimate =
      step.kind === 'gate' ? undefined : predict(alike(measured, step), step.id, plan.blue.bytes);
    return estimate ? { ...step, estimate } : step;
  });
  return { ...plan, steps };
}

/** Of a clone those that were made in the way that is planned, where it is known. */
export function alike(measured: readonly Measured[], step: Pick<PlannedStep, 'kind' | 'input'>): Measured[] {
  const way = wayOf(step);
  return measured.filter((one) => way === undefined || one.way === undefined || one.way === way);
}

/** How a step makes the copy; undefined of all that make none. */
export const wayOf = ({ kind, input }: Pick<PlannedStep, 'kind' | 'input'>): string | undefined =>
  kind === 'clone' ? (input as Partial<ClonePlan>).way : undefined;

interface Point {
  readonly bytes: number;
  readonly ms: number;
}

/** How long a step will take on a database of that size; undefined when it was never measured. */
export function predict(measured: readonly Measured[], step: string, bytes: number): Estimate | undefined {
  const points = measured.flatMap(({ bytes: size, steps }) => {
    const ms = steps[step];
    return ms === undefined ? [] : [{ bytes: size, ms }];
  });
  if (points.length === 0) return undefined;
  const sizes = points.map((point) => point.bytes);
  const [smallest, largest] = [Math.min(...sizes), Math.max(...sizes)];
  const of =
    smallest === largest ? formatBytes(smallest) : `${formatBytes(smallest)} to ${formatBytes(largest)}`;
  const basis = `from ${plural(points.length, 'run')} of ${of}`;
  if (largest < smallest * SAME) return ofOneSize(points, bytes, largest, basis);
  const { at, error } = line(points);
  const ms = Math.max(at(bytes), Math.min(...points.map((point) => point.ms)));
  const beyond = Math.max(0, Math.log2(bytes / largest), Math.log2(smallest / bytes));
  const part = NOISE + error + BEYOND * beyond;
  return {
    ms: Math.round(ms),
    basis,
    least: Math.round(ms * Math.max(0, 1 - part)),
    most: Math.round(ms * (1 + part)),
  };
}

const mean = (list: readonly number[]): number => list.reduce((sum, each) => sum + each, 0) / list.length;

/** Nobody knows how it grows: between as long as it took, and as much longer as there is more. */
function ofOneSize(points: readonly Point[], bytes: number, size: number, basis: string): Estimate {
  const usual = mean(points.map(({ ms }) => ms));
  const grown = usual * (bytes / size);
  const near = bytes < size * SAME && size < bytes * SAME;
  const [low, high] = near ? [usual, usual] : [Math.min(usual, grown), Math.max(usual, grown)];
  return {
    ms: Math.round(near ? usual : high),
    basis,
    least: Math.round(low * (1 - NOISE)),
    most: Math.round(high * (1 + NOISE)),
  };
}

/**
 * The median of the slopes between runs of different sizes (Theil and Sen): one that was slow for a reason of its own turns
 * nothing. What does not grow with the size is taken for constant. `error` is the mean deviation, as a part.
 */
function line(points: readonly Point[]): { at: (bytes: number) => number; error: number } {
  const slopes = points.flatMap((one, index) =>
    points.slice(index + 1).flatMap((other) => {
      const near = Math.max(one.bytes, other.bytes) < Math.min(one.bytes, other.bytes) * SAME;
      return near ? [] : [(other.ms - one.ms) / (other.bytes - one.bytes)];
    }),
  );
  const slope = Math.max(0, median(slopes));
  const start = median(points.map(({ bytes, ms }) => ms - slope * bytes));
  const at = (bytes: number): number => start + slope * bytes;
  const usual = Math.max(1, mean(points.map(({ ms }) => ms)));
  return { at, error: mean(points.map(({ bytes, ms }) => Math.abs(ms - at(bytes)))) / usual };
}

function median(list: readonly number[]): number {
  const sorted = list.toSorted((one, other) => one - other);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
