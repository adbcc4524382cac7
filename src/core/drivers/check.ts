import type { Catalog, Reader } from '../database/catalog.ts';
import type { Lag, StatementTimes } from '../database/live.ts';
import type { Side } from '../side.ts';
import type { Resolve } from './driver.ts';
import type { Expectations } from '../playbook.ts';

/** `unknown` is a question that could not be answered: it is shown, and never counts as passed. */
export type Severity = 'ok' | 'note' | 'warning' | 'failure' | 'unknown';

/** One thing that a check or the preflight found out. */
export interface Finding {
  readonly check: string;
  readonly severity: Severity;
  /** Object, condition and value in one sentence. */
  readonly message: string;
  /** What mends it: a command, or what to write in the playbook. */
  readonly hint?: string;
  /** Further lines, for instance a diff. */
  readonly detail?: string;
}

/** How far the previous copy is behind. */
export interface WayBackProbe {
  lag(): Promise<Lag>;
  /** Milliseconds that a change takes to arrive; undefined when it takes longer than the limit. */
  beat(limit: number): Promise<number | undefined>;
  /** By their texts, as pg_stat_statements keeps them; undefined where it is not at hand. */
  statements(side: Side): Promise<StatementTimes | undefined>;
}

/** What a check may look at. Both sides are closed to everybody else while the comparing checks run. */
export interface CheckContext {
  readonly blue: Reader;
  readonly green: Reader;
  /** Catalogs of both sides, read once for all the checks of a verification. */
  readonly catalogs: { readonly blue: Catalog; readonly green: Catalog };
  readonly expect: Expectations;
  /** Nothing was migrated in between: what the options say of migrations does not count, and names of theirs may be unknown. */
  readonly alike?: boolean | undefined;
  /** Environment for child processes: the playbook's own plus `GREEN_URL`; secret. Blue is closed by then. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Of the command line, for every check that reads rows, instead of its own `max-active`. */
  readonly maxActive?: number | undefined;
  /** The previous copy that follows green; only in the bake of a run that has one. */
  readonly wayBack?: WayBackProbe | undefined;
  progress(done: number, total: number, note?: string): void;
}

export interface Check {
  /** What it will do, in a line or two, for the plan. */
  describe(): string[];
  /**
   * `green-open`: runs while green accepts connections, because an outside program connects to it.
   * `closed`: runs after nobody else can connect to either side, so that what it proves stays true.
   */
  readonly when: 'green-open' | 'closed';
  /** It holds one side against the other, whoever made them; nothing is asked of what the migrations have made. */
  readonly compares?: boolean;
  /** It reads rows, and begins no reading while more sessions than `max-active` are at work. */
  readonly paced?: boolean;
  /** Finds out; throws only when it could not finish. An empty list is a mistake: say what was proved. */
  run(context: CheckContext): Promise<Finding[]>;
}

/** What a check gets when a run opens it. */
export interface CheckOpenContext {
  /** Folder of the playbook: where commands run. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly resolve: Resolve;
}
