import type { RunApproval } from './approval.ts';
import type { Finding } from './drivers/check.ts';
import type { Plan } from './plan.ts';
import type { Side } from './side.ts';

/** How a run ended. `refused` means that nothing was touched. */
export type RunOutcome = 'completed' | 'unwound' | 'refused' | 'stuck';

/**
 * Why a run stands still before the switch, with blue live and green following. `prepared`: as was asked; `time`: what was left of
 * its window was not enough; `failure`: a step failed, and a person is to look.
 */
export type HeldFor = 'prepared' | 'time' | 'failure';

export interface ErrorRecord {
  readonly message: string;
  readonly kind: string;
  readonly hint?: string;
  readonly where?: string;
  readonly detail?: string;
}

/** What happened, as it is written to the journal; a closed union. Steps of a plan are named by their id. */
export type EventBody =
  | {
      readonly type: 'run-created';
      readonly run: string;
      readonly operator: string;
      readonly plan: Plan;
      /** What an unattended run was allowed by. */
      readonly approval?: RunApproval;
      /** The opening of a maintenance window that it is made in. */
      readonly window?: string;
    }
  /** Another process goes on with the run: the steps from `from` on are executed, once more where they were begun. */
  | {
      readonly type: 'run-resumed';
      readonly operator: string;
      readonly from: string;
      /** What the servers and targets said, a line each. */
      readonly found: readonly string[];
      /** The opening of a maintenance window that it goes on in. */
      readonly window?: string;
    }
  | { readonly type: 'step-started'; readonly step: string }
  /** A step failed for a passing reason and is tried again after `waitMs`. */
  | {
      readonly type: 'step-retried';
      readonly step: string;
      /** From 1. */
      readonly attempt: number;
      readonly waitMs: number;
      readonly error: ErrorRecord;
    }
  | {
      readonly type: 'step-progressed';
      readonly step: string;
      readonly done: number;
      readonly total: number;
      readonly unit: string;
      readonly note?: string;
    }
  | {
      readonly type: 'step-succeeded';
      readonly step: string;
      readonly ms: number;
      /** What later steps, the swap back and the report need to know. */
      readonly output: unknown;
      readonly findings?: readonly Finding[];
    }
  | {
      readonly type: 'step-failed';
      readonly step: string;
      readonly ms: number;
      readonly error: ErrorRecord;
      readonly findings?: readonly Finding[];
    }
  | { readonly type: 'undo-started'; readonly step: string }
  | { readonly type: 'undo-finished'; readonly step: string }
  | { readonly type: 'undo-failed'; readonly step: string; readonly error: ErrorRecord }
  | { readonly type: 'gate-opened'; readonly step: string; readonly question: string }
  | {
      readonly type: 'gate-answered';
      readonly step: string;
      readonly answer: 'go' | 'stop';
      readonly by: string;
    }
  /** Written before the first target flips; and once more, the other way, if the flips had to be put back. */
  | {
      readonly type: 'ownership-moved';
      readonly from: Side;
      readonly to: Side;
      /** `SideState.version` of both sides, closed as they were; nobody can have written while they are the same. */
      readonly closed?: Readonly<Record<Side, string>>;
    }
  /** No process works on the run any more; it can be gone on with, or put back. */
  | {
      readonly type: 'run-held';
      readonly reason: HeldFor;
      readonly exit: number;
      readonly error?: ErrorRecord;
    }
  | {
      readonly type: 'run-finished';
      readonly outcome: RunOutcome;
      readonly exit: number;
      readonly error?: ErrorRecord;
    }
  | {
      readonly type: 'swap-back-started';
      readonly operator: string;
      readonly acceptDataLoss: boolean;
      /** Blue unless said; green when a run that follows is switched once more. */
      readonly to?: Side;
    }
  /** Green is closed, and what was written there since the switch is counted; a line each. */
  | { readonly type: 'swap-back-counted'; readonly leftBehind: readonly string[] }
  /** A transaction that this side could not apply was passed over: what was in it, in a line. */
  | { readonly type: 'swap-back-passed-over'; readonly to: Side; readonly transaction: string }
  | {
      readonly type: 'swap-back-finished';
      readonly ms: number;
      /** What was written since the switch and stays in the copy that was live; a line each. */
      readonly leftBehind: readonly string[];
      /** Of the run, when it swapped back by itself. */
      readonly exit?: number;
    }
  | {
      readonly type: 'swap-back-failed';
      readonly error: ErrorRecord;
      /** Everything was put back and green is live; otherwise the swap back is still half-way. */
      readonly settled: boolean;
    }
  | { readonly type: 'retire-started'; readonly operator: string; readonly database: string }
  | { readonly type: 'retire-finished'; readonly database: string }
  | { readonly type: 'retire-failed'; readonly error: ErrorRecord };

export type Event = EventBody & {
  /** From 1, without gaps. */
  readonly seq: number;
  /** ISO 8601 with milliseconds, UTC. */
  readonly at: string;
};
