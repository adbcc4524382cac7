import type { RunApproval } from '../core/approval.ts';
import type { Finding } from '../core/drivers/check.ts';
import type { ErrorRecord, Event, HeldFor, RunOutcome } from '../core/event.ts';
import type { Plan } from '../core/plan.ts';
import type { Side } from '../core/side.ts';

export type RunPhase =
  | 'running'
  | 'unwinding'
  | RunOutcome
  | 'held'
  | 'swapping back'
  | 'swapped back'
  | 'retiring'
  | 'retired';

/** Phases from which a run is gone on with, or put back. */
export const BEFORE_THE_END = [
  'running',
  'held',
  'unwinding',
  'stuck',
] as const satisfies readonly RunPhase[];

/** A run in one of these waits for somebody, or is at work. */
export const UNSETTLED: ReadonlySet<RunPhase> = new Set<RunPhase>([
  ...BEFORE_THE_END,
  'swapping back',
  'retiring',
]);

/** `again`: was begun by a process that died or held the run, and is to be executed once more. */
export type StepPhase =
  | 'waiting'
  | 'again'
  | 'running'
  | 'done'
  | 'failed'
  | 'undoing'
  | 'undone'
  | 'undo failed';

export interface StepState {
  readonly phase: StepPhase;
  readonly startedAt?: string;
  readonly ms?: number;
  readonly output?: unknown;
  readonly error?: ErrorRecord;
  readonly findings: readonly Finding[];
}

/** What the journal says about a run. Never stored: always folded anew from the events. */
export interface RunState {
  readonly run: string;
  readonly plan: Plan;
  readonly phase: RunPhase;
  /** The side that the targets point at, as far as the journal knows. */
  readonly live: Side;
  readonly operator: string;
  /** What an unattended run was allowed by. */
  readonly approval: RunApproval | undefined;
  /** The opening of a maintenance window that the scheduler made it in, or went on with it in. */
  readonly window: string | undefined;
  /** Who went on with the run after a process of it had died. */
  readonly resumed: readonly { readonly at: string; readonly operator: string }[];
  readonly startedAt: string;
  readonly endedAt: string | undefined;
  /** When the run itself was over, whatever was done with it afterwards. */
  readonly finishedAt: string | undefined;
  readonly exit: number | undefined;
  /** Of a run that stands still before its switch. */
  readonly held: { readonly at: string; readonly reason: HeldFor } | undefined;
  readonly error: ErrorRecord | undefined;
  readonly steps: Readonly<Record<string, StepState>>;
  readonly switchedAt: string | undefined;
  readonly retired: string | undefined;
  /** Both sides as they were when ownership moved, of the latest time that says it. */
  readonly closed: Readonly<Record<Side, string>> | undefined;
  /** The side that a swap back makes live. */
  readonly heading: Side;
  /** What a swap back left in the copy that was live. */
  readonly leftBehind: readonly string[];
  /** What stays left behind when the swap back under way is called off. */
  readonly leftBefore: readonly string[];
  /** Transactions that a side could not apply, and never will; a line each. */
  readonly passedOver: Readonly<Record<Side, readonly string[]>>;
}

export class IllegalTransitionError extends Error {
  override readonly name = 'IllegalTransitionError';
}

/** Throws unless the run is in one of the phases. */
export function require(state: RunState, event: Event, phases: readonly RunPhase[]): void {
  if (!phases.includes(state.phase)) throw illegal(state, event);
}

export function illegal(state: RunState, event: Event, step?: string): IllegalTransitionError {
  const where = 'step' in event ? ` of step ${event.step}${step ? `, which is ${step}` : ''}` : '';
  return new IllegalTransitionError(
    `event ${event.seq}, ${event.type}${where}, cannot follow: the run is ${state.phase}`,
  );
}

/** What the copy that is not live has, and the live one has not, as far as swaps back left it there; a line each. */
export const onlyInCopy = ({ live, leftBehind, passedOver }: RunState): string[] => [
  ...new Set([...leftBehind, ...passedOver[live]]),
];
