import type { ClonePlan, PlannedClone } from './clone.ts';
import type { Facts } from './facts.ts';
import type { Mark } from './mark.ts';
import type { WorkControl } from '../work.ts';
import type { Reader } from './catalog.ts';
import type { Live } from './live.ts';
import type { MigrationTarget } from '../drivers/migrator.ts';
import type { CloneOptions, LongTransactions } from '../playbook.ts';
import type { Side } from '../side.ts';

/** The databases of a run by name, as planned. */
export interface Names {
  /** What clients connect to. */
  readonly blue: string;
  /** The copy, until the switch. */
  readonly green: string;
  /** What blue is called after a switch that renames. */
  readonly previous: string;
}

/** What can be asked of one side at any time. */
export interface SideState {
  readonly name: string;
  readonly oid: number;
  /** New connections are refused. */
  readonly closed: boolean;
  readonly mark: Mark | undefined;
  /**
   * Another one after every ALTER DATABASE, by whomever: as long as it is the same, a closed database was not opened
   * in between.
   */
  readonly version: string;
}

export interface WriteReport {
  /** Tables with writes since the switch. */
  readonly tables: readonly {
    readonly table: string;
    /** Rows that were inserted or updated since. */
    readonly newer: bigint;
    /** Rows from before the switch that were updated or deleted since. */
    readonly lost: bigint;
  }[];
  /** Schema objects that came, went or changed since the switch. */
  readonly schema: readonly string[];
}

/** Where a side stood at one moment, to tell later what was written since. */
export interface Baseline {
  /** Transaction id from which on everything is new, epoch included. */
  readonly xid: string;
  readonly rows: Readonly<Record<string, string>>;
  readonly fingerprint: string;
}

/**
 * A database server that holds blue and its copy, as seen by one run. Sides are found by object id, which a
 * rename does not change; names are what people read.
 */
export interface Database {
  /** Both sides are on one server. */
  readonly together: boolean;
  /** Following one side by the other. */
  readonly live: Live;

  /** `live` also reads what following blue rests on. */
  inspect(options?: { readonly live: boolean }): Promise<Facts>;
  /** Whether the server has a database of this name. */
  has(name: string): Promise<boolean>;

  /** What a clone will execute, and how. Pure: the same facts give the same statements. */
  planClone(facts: Facts, green: string, options: CloneOptions): PlannedClone;
  /** What closing a database will execute, for the plan. */
  planClose(name: string): string[];
  /** What a rename will execute, for the plan. */
  planRename(moves: readonly { from: string; to: string }[]): string[];

  /**
   * Takes the run's lock, or makes sure of it: one that was lost with its session is taken anew. Fails with
   * RefusedError that names the holder when another run works on the same database.
   */
  lock(): Promise<void>;
  /** Ends what sessions of this run's dead processes still execute, and waits until they are gone. */
  endAbandoned(): Promise<void>;
  /** Throws when the lock's session was lost meanwhile. */
  assertLocked(): Promise<void>;
  /** Milliseconds for which a server that is just away is waited for from now on. */
  setPatience(ms: number): void;
  /** Binds green to a database that was made earlier. */
  bind(side: Side, oid: number): void;
  /** Undefined when the side's database is not there. Throws when the server cannot be asked. */
  state(side: Side): Promise<SideState | undefined>;

  /** Refuses new connections, waits for transactions, ends every session but this run's own reader; repeatable. */
  close(side: Side, long: LongTransactions, control: WorkControl): Promise<void>;
  /**
   * Gets this run's reader into a database that is closed, after the process that had one died. The door is open for a
   * moment; says whether it is certain that nobody wrote anything meanwhile.
   */
  reenter(side: Side, control: WorkControl): Promise<boolean>;
  /** Accepts connections again; repeatable. Refuses a side that carries a mark, but for this run's own that is named. */
  open(side: Side, as?: Mark['as']): Promise<void>;

  /** Makes the copy with exactly these statements, marks it and binds it as green. What it leaves when it fails, `drop` finds. */
  clone(plan: ClonePlan, control: WorkControl): Promise<{ oid: number }>;
  /** Drops a side's database if it carries this run's mark; says whether there was one. */
  drop(side: Side, as: Mark['as']): Promise<boolean>;
  /** Sets or takes away the mark; without a mark the comment is what it was on blue. */
  mark(side: Side, mark: Mark['as'] | undefined, comment: string | undefined): Promise<void>;
  /** All renames in one transaction, or none. Expects both databases closed. Sessions that linger are ended first. */
  rename(moves: readonly { side: Side; from: string; to: string }[]): Promise<void>;

  reader(side: Side): Promise<Reader>;
  /** Ends the readers' connections, which a rename waits for otherwise. */
  releaseReaders(): Promise<void>;
  baseline(side: Side): Promise<Baseline>;
  /** What was written on a side since the baseline. */
  writesSince(side: Side, baseline: Baseline): Promise<WriteReport>;

  migrationTarget(side: Side): Promise<MigrationTarget>;
  /** Connection string to a side for child processes; secret. */
  url(side: Side): Promise<string>;
  /** Gives back the lock and closes all connections. */
  end(): Promise<void>;
}
