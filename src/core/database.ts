import type { Reader } from './catalog.ts';
import type { MigrationTarget } from './migrator.ts';
import type { Estimate } from '../util/units.ts';
import type { LongTransactions, Playbook } from './playbook.ts';
import type { Side } from './side.ts';

/** The databases of a run by name, as planned. */
export interface Names {
  /** What clients connect to. */
  readonly blue: string;
  /** The copy, until the switch. */
  readonly green: string;
  /** What blue is called after a switch that renames. */
  readonly previous: string;
}

/** A session that is connected to a database, as a person would recognise it. */
export interface SessionInfo {
  readonly pid: number;
  readonly user: string;
  readonly application: string;
  readonly kind: string;
  readonly state: string;
  readonly query: string;
  /** Its role is a superuser: only another superuser may end it. */
  readonly superuser: boolean;
  /** Age of its transaction in seconds; undefined outside of one. */
  readonly transactionSeconds: number | undefined;
}

/** What a server and blue look like: everything that the preflight and the plan reason about, in one reading. */
export interface Facts {
  readonly server: {
    readonly version: string;
    readonly major: number;
    /** `system_identifier` of the cluster: the same server, whatever its address. */
    readonly identifier: string;
    readonly inRecovery: boolean;
    readonly fileCopyMethod: string | undefined;
    /** Free bytes on the data directory's file system, where it can be seen from here. */
    readonly freeBytes: number | undefined;
  };
  readonly role: {
    readonly name: string;
    readonly superuser: boolean;
    readonly createDatabase: boolean;
    readonly bypassRls: boolean;
    /** May act as blue's owner. */
    readonly ownsBlue: boolean;
    readonly canSignal: boolean;
    readonly createRole: boolean;
  };
  readonly blue: {
    readonly name: string;
    readonly oid: number;
    readonly owner: string;
    readonly bytes: number;
    readonly relations: number;
    readonly tables: number;
    readonly estimatedRows: number;
    readonly readOnly: boolean;
    readonly closed: boolean;
    readonly isTemplate: boolean;
    readonly connectionLimit: number;
    readonly comment: string | undefined;
    /** Access privileges of the database: one a grantee and privilege; undefined for the built-in default. */
    readonly privileges: readonly Privilege[] | undefined;
    readonly settings: readonly Setting[];
    readonly fingerprint: string;
  };
  /** Objects on blue that the preflight has an opinion on: names, ready to print. */
  readonly objects: {
    readonly rowSecurity: readonly string[];
    readonly unreadable: readonly string[];
    readonly unlogged: readonly string[];
    readonly largeObjects: number;
    readonly materializedViews: readonly string[];
    readonly invalidIndexes: readonly string[];
    readonly notValidConstraints: readonly string[];
    readonly publications: readonly string[];
    readonly subscriptions: readonly string[];
    readonly logicalSlots: readonly string[];
    readonly preparedTransactions: readonly string[];
    readonly eventTriggers: readonly string[];
    readonly foreignServers: readonly string[];
    readonly backgroundExtensions: readonly string[];
  };
  readonly sessions: readonly SessionInfo[];
  /** All databases of the server, with the mark they carry, if it is ours. */
  readonly databases: readonly {
    readonly name: string;
    readonly oid: number;
    readonly mark: Mark | undefined;
  }[];
}

export interface Privilege {
  /** Role name; the empty string is PUBLIC. */
  readonly grantee: string;
  readonly grantor: string;
  readonly privilege: string;
  readonly grantable: boolean;
}

/** A setting stored for a database, for all roles (`role` empty) or for one. */
export interface Setting {
  readonly role: string;
  readonly name: string;
  readonly value: string;
  /** Only a superuser may set it. */
  readonly restricted: boolean;
}

/** Ties a database to the run that made it or set it aside; kept as its comment. */
export interface Mark {
  readonly run: string;
  /** `copy`: made by the run and not live. `previous`: was live before the run's last switch. */
  readonly as: 'copy' | 'previous';
}

/** What can be asked of one side at any time. */
export interface SideState {
  readonly name: string;
  readonly oid: number;
  /** New connections are refused. */
  readonly closed: boolean;
  readonly mark: Mark | undefined;
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

export interface WorkControl {
  readonly signal: AbortSignal;
  progress(
    done: number,
    total: number,
    unit: 'bytes' | 'tables' | 'statements' | 'sessions',
    note?: string,
  ): void;
}

/**
 * A database server that holds blue and its copy, as seen by one run. Sides are found by object id, which a
 * rename does not change; names are what people read.
 */
export interface Database {
  inspect(): Promise<Facts>;
  /** Whether the server has a database of this name. */
  has(name: string): Promise<boolean>;

  /** What a clone will execute, and how. Pure: the same facts give the same statements. */
  planClone(facts: Facts, green: string, strategy: Playbook['clone']['strategy']): PlannedClone;
  /** What closing a database will execute, for the plan. */
  planClose(name: string): string[];
  /** What a rename will execute, for the plan. */
  planRename(moves: readonly { from: string; to: string }[]): string[];

  /** Fails with RefusedError that names the holder when another run works on the same database. */
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
  /** Accepts connections again; repeatable. */
  open(side: Side): Promise<void>;

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
  /** `host:port`, for comparing with what an application's connection string says. */
  readonly address: { readonly host: string; readonly port: number };
  /** Gives back the lock and closes all connections. */
  end(): Promise<void>;
}

export interface PlannedClone {
  readonly plan: ClonePlan;
  readonly does: readonly string[];
  /** Why it is done this way. */
  readonly reason: string;
  readonly estimate: Estimate;
}

/** The statements of a clone, in the three moments in which they run. */
export interface ClonePlan {
  readonly from: string;
  /** Name that carries the run's id, so that a copy is known as ours from its first instant. */
  readonly interim: string;
  readonly name: string;
  readonly create: string;
  /** Everything that a template leaves behind, executed when the copy has its name. */
  readonly carry: readonly string[];
  /** Settings of the application's own (`app.jwt_secret`): their values are read at the clone, and stored nowhere. */
  readonly unseen: readonly Pick<Setting, 'role' | 'name'>[];
}
