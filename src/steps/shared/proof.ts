import type { SideState } from '../../core/database/database.ts';
import { StepError } from '../../core/errors.ts';
import type { StepContext } from '../../core/step.ts';

/** `SideState.version` of both sides while they were closed: what was proved then is true as long as these are the same. */
export interface Closed {
  readonly blue: string;
  readonly green: string;
}

/** What the fence and the verification leave for later steps, and for a process that goes on with the run. */
export interface FenceOutput {
  readonly version: string;
}

/** Both sides, if they are there and closed; throws StepError that names the one that is not. */
export async function closedSides({ database }: StepContext): Promise<{ blue: SideState; green: SideState }> {
  const [blue, green] = await Promise.all([database.state('blue'), database.state('green')]);
  const sides = { blue, green };
  for (const [side, state] of Object.entries(sides)) {
    if (state?.closed) continue;
    throw new StepError(
      state
        ? `${state.name} was opened by somebody since it was closed for this run`
        : `${side}'s database is not there`,
      { hint: 'what was verified may not be true any more; run again' },
    );
  }
  return { blue: blue!, green: green! };
}

/** Throws StepError when a side was opened since, even if it was closed again. */
export async function assertUntouched(context: StepContext, proof: Closed): Promise<void> {
  const now = await closedSides(context);
  for (const side of ['blue', 'green'] as const) {
    if (now[side].version === proof[side]) continue;
    throw new StepError(
      `${now[side].name} was altered, and perhaps opened, by somebody since it was closed for this run`,
      { hint: 'what was verified may not be true any more; run again' },
    );
  }
}

/**
 * Whether nobody can have written to either side since the proof: both are closed and were not altered since, but
 * perhaps by the run's own rename, which is one transaction for both and leaves both with one version.
 */
export function isUntouched(
  sides: { readonly blue: SideState | undefined; readonly green: SideState | undefined },
  proof: Closed | undefined,
): boolean {
  const { blue, green } = sides;
  if (!proof || !blue?.closed || !green?.closed) return false;
  return (
    (blue.version === proof.blue && green.version === proof.green) ||
    (blue.version === green.version && proof.blue !== proof.green)
  );
}
