import type { Check, Finding } from './drivers/check.ts';
import type { Database } from './database/database.ts';
import type { Facts } from './database/facts.ts';
import type { EventBody } from './event.ts';
import type { Migrator } from './drivers/migrator.ts';
import type { Plan, PlannedStep } from './plan.ts';
import type { Bake, Gate } from './playbook.ts';
import type { StepKind } from './step-kind.ts';
import type { Side } from './side.ts';
import type { Target } from './drivers/target.ts';

/** What a step works with: interfaces of the core, never a driver. */
export interface StepContext {
  readonly run: string;
  readonly plan: Plan;
  readonly step: PlannedStep;
  readonly database: Database;
  readonly migrators: readonly Migrator[];
  readonly checks: readonly { readonly name: string; readonly check: Check }[];
  /** Of the bake. */
  readonly bake: readonly { readonly name: string; readonly check: Check }[];
  readonly targets: readonly { readonly name: string; readonly target: Target }[];
  /** Environment for child processes. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Whether ownership was ever moved in this run: before that no target was touched. */
  ownershipMoved(): boolean;
  /** The side that the targets point at, as far as the journal knows. */
  live(): Side;
  /** What the first step of this kind gave, in this process or in one that died. */
  outputOf(kind: StepKind): unknown;
  progress(done: number, total: number, unit: string, note?: string): void;
  /** Durable when the promise settles. */
  record(event: EventBody): Promise<void>;
  /** For work that holds clients: should this process die in it, they go on all the same. */
  guarded<T>(work: () => Promise<T>): Promise<T>;
  /** Tells that the step is tried again after `waitMs`. */
  retrying(attempt: number, waitMs: number, error: unknown): Promise<void>;
  /** Both sides as they were when ownership moved, of the latest time. */
  closedAtMove(): Readonly<Record<Side, string>> | undefined;
  /** Asks whoever may answer. */
  ask(question: string, limit: GateLimit): Promise<GateAnswer>;
  /** Preflight facts, read anew. */
  facts(): Promise<Facts>;
}

/** How long an answer is waited for; the input of a gate's step. */
export type GateLimit = Partial<Pick<Gate, 'timeout'>> & Pick<Gate, 'otherwise' | 'url'>;

export interface GateAnswer {
  readonly answer: 'go' | 'stop';
  /** Who gave it. */
  readonly by: string;
  /** Nobody did before the time was over. */
  readonly timeLimit?: true;
}

/** The input of a bake's step. */
export type BakeInput = Omit<Bake, 'checks'>;

export interface StepResult {
  /** Plain JSON; stored in the journal. */
  readonly output?: unknown;
  readonly findings?: readonly Finding[];
  /** A line for the screen: what was done, with figures. */
  readonly summary?: string;
}

/** `unknown` is an answer: the servers contradict each other, or did not say. */
export type Probe = 'done' | 'absent' | 'unknown';

/** One kind of step. All three are repeatable. */
export interface Step {
  readonly kind: StepKind;
  run(context: StepContext): Promise<StepResult>;
  /** Asks the servers, not the journal, whether the step's effect is there. */
  probe(context: StepContext): Promise<Probe>;
  /** Takes the effect away, wholly or not at all; gives a line about it, or undefined when there was nothing to take away. */
  undo(context: StepContext): Promise<string | undefined>;
}
