import type { Names } from './database/database.ts';
import type { Estimate } from '../util/units.ts';
import type { DriverUse } from './drivers/driver.ts';
import type { ApprovalMode } from './approval.ts';
import type { Finding } from './drivers/check.ts';
import type { FollowPlan } from './database/live.ts';
import type {
  BlueSource,
  CloneOptions,
  Expectations,
  Fallback,
  HeldPhase,
  Limits,
  LongTransactions,
  Pause,
  Retries,
} from './playbook.ts';
import type { StepKind } from './step-kind.ts';

/** How a run follows blue while clients write. */
export interface LivePlan {
  readonly follow: FollowPlan;
  /** Tables whose rows replication does not carry. */
  readonly unfollowed: readonly string[];
  readonly clone: Pick<CloneOptions, 'method' | 'pause'> & { readonly estimateMs: number };
  readonly pause: Pause;
  /** Green's server, when it is another one. */
  readonly green: { readonly url: string; readonly identifier: string } | undefined;
}

export interface PlannedStep {
  /** Stable within the run; the journal refers to it. */
  readonly id: string;
  readonly kind: StepKind;
  readonly title: string;
  /** SQL and commands that it executes, or what it looks at, a line each. */
  readonly does: readonly string[];
  readonly estimate?: Estimate;
  readonly undo: string;
  /** Exactly one step of a plan moves it. */
  readonly ownership: 'keeps' | 'moves';
  /** Everything the step needs to do just what was planned: plain JSON. */
  readonly input: unknown;
}

/** What will happen, as data: printed beforehand, stored in the journal, hashed for approval. */
export interface Plan {
  readonly format: 1;
  readonly name: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly run: string;
  readonly playbook: { readonly file: string; readonly folder: string; readonly sha256: string };
  readonly source: BlueSource;
  readonly server: { readonly version: string; readonly identifier: string };
  readonly blue: {
    readonly oid: number;
    readonly bytes: number;
    readonly tables: number;
    readonly estimatedRows: number;
    readonly comment: string | undefined;
    readonly fingerprint: string;
  };
  readonly names: Names;
  readonly renames: boolean;
  /** Undefined when blue is closed from the fence to the switch. */
  readonly live: LivePlan | undefined;
  readonly expect: Expectations;
  readonly longTransactions: LongTransactions;
  /** Undefined in plans of versions that knew none. */
  readonly onFailure?: Readonly<Record<HeldPhase, Fallback>>;
  readonly retries: Retries;
  readonly limits: Limits;
  /** Undefined in plans of versions that knew none. */
  readonly approval?: ApprovalMode;
  readonly migrate: readonly DriverUse[];
  readonly verify: readonly DriverUse[];
  readonly targets: readonly DriverUse[];
  /** Checks of the bake. */
  readonly bake: readonly DriverUse[];
  /** Undefined in journals of before there were notices. */
  readonly notify?: readonly DriverUse[];
  readonly steps: readonly PlannedStep[];
  readonly findings: readonly Finding[];
  /** Hash over playbook, migration files and blue's schema: the same input gives the same fingerprint. */
  readonly fingerprint: string;
}
