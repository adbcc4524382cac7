import type { ApprovalMode } from './approval.ts';
import type { DriverUse } from './drivers/driver.ts';
import type { StepKind } from './step-kind.ts';

/** Where blue is: a server that is there, or one that the tool starts. */
export type BlueSource =
  | {
      readonly kind: 'url';
      /** With `${NAME}` references, and never a literal password. */ readonly url: string;
    }
  | {
      readonly kind: 'embedded';
      /** The folder of a fixture that is loaded when the database is not there yet. */
      readonly fixture?: string;
      readonly database: string;
      /** The server goes on running when the command ends. */
      readonly stay: boolean;
    };

/** What the migrations are meant to take away or change; everything else of blue must be on green unchanged. */
export interface Expectations {
  /** Old name → new name, of tables (`public.a`) and columns (`public.a.x`). */
  readonly renamed: Readonly<Record<string, string>>;
  readonly dropped: readonly string[];
  readonly changed: readonly string[];
}

/** How writes on blue reach green after the clone. */
export interface Sync {
  /** `none`: blue is closed to clients meanwhile. `logical`: logical replication, and clients go on. */
  readonly method: 'none' | 'logical';
  /** What is done about tables whose rows replication cannot tell apart: `full` gives them REPLICA IDENTITY FULL. */
  readonly withoutIdentity: 'refuse' | 'full';
}

export interface CloneOptions {
  /** `template`: CREATE DATABASE … TEMPLATE on blue's server. `dump`: pg_dump | pg_restore, to any server. */
  readonly method: 'template' | 'dump';
  readonly strategy: 'auto' | 'wal-log' | 'file-copy';
  /** Milliseconds for which clients may be held while a template clone is made and blue is followed. */
  readonly pause: number;
}

/** How long clients may be held by the switch of a run that follows blue, in milliseconds. */
export interface Pause {
  readonly budget: number;
  /** How often the switch is tried again when the budget ran out. */
  readonly retries: number;
  readonly wait: number;
}

export interface LongTransactions {
  /** Milliseconds. */
  readonly wait: number;
  readonly then: 'refuse' | 'end';
}

/** The question before the switch. */
export interface Gate {
  /** `open`: nobody is asked. */
  readonly mode: 'ask' | 'open';
  /** Milliseconds; undefined waits without end. */
  readonly timeout: number | undefined;
  /** The answer when the time is over. */
  readonly otherwise: 'go' | 'stop';
  /** An address that answers with 2xx once the switch may be made. */
  readonly url?: {
    /** With `${NAME}` references. */
    readonly address: string;
    /** Milliseconds between two requests. */
    readonly every: number;
  };
}

/** What is looked at for a while when green is live. */
export interface Bake {
  /** Milliseconds. */
  readonly for: number;
  readonly every: number;
  /** How often in a row a check may fail before the bake has failed. */
  readonly failures: number;
  readonly checks: readonly DriverUse[];
  readonly onFailure: 'hold' | 'swap-back';
}

/** What becomes of a run that follows, when a step fails or time runs out before ownership has moved. */
export type Fallback = 'unwind' | 'hold';

/** Phases in which a run that follows may be held. */
export type HeldPhase = 'sync' | 'verify' | 'gate' | 'switch';

/** A shell line of the team's own around a phase of the run. */
export interface Hook {
  readonly when: 'before' | 'after';
  readonly phase: Exclude<StepKind, 'hook'>;
  readonly run: string;
  /** Takes back what `run` did, when the run unwinds. */
  readonly undo: string | undefined;
  /** Milliseconds, for each of the two. */
  readonly timeout: number;
  /** `playbook.yml:12:5`. */
  readonly at: string;
}

/** Civil days, both included: `2026-12-24`. */
export interface ExceptedDays {
  readonly from: string;
  readonly to: string;
  /** What is on then, or what was written. */
  readonly why: string;
}

/** When an unattended run may be made. */
export interface MaintenanceWindow {
  /** Five fields, by the clock of the place. */
  readonly cron: string;
  readonly timezone: string;
  /** Milliseconds for which it is open. */
  readonly duration: number;
  /** Milliseconds after its opening from which on nothing is begun. */
  readonly latestStart: number | undefined;
  /** In it a run is brought as far as the switch, and held: another window is for that. */
  readonly prepare: boolean;
  /** What becomes of a run for whose switch too little of the window is left. */
  readonly tooShort: Fallback;
  /** Days on which it does not open, by the clock of the place. */
  readonly except: readonly ExceptedDays[];
}

/** How often a step that failed for a passing reason is tried again. */
export interface Retries {
  /** 0 never tries again. */
  readonly limit: number;
  /** Milliseconds before the first retry; each further one waits twice as long. */
  readonly wait: number;
}

/** How long what is waited for may take, in milliseconds. */
export interface Limits {
  /** One attempt to connect. */
  readonly connect: number;
  /** A lock that one of the tool's own statements waits for. */
  readonly lock: number;
  /** Each of the tool's own short statements: closing, renaming, marking, asking. */
  readonly statement: number;
  /** A whole step of this kind, but for the waiting at a gate. */
  readonly steps: Readonly<Partial<Record<'clone' | 'migrate' | 'sync' | 'verify', number>>>;
}

/** A playbook after parsing: defaults filled, paths absolute, frozen. Nothing validates it again. */
export interface Playbook {
  readonly version: 1;
  readonly name: string;
  /** Absolute path of the file, and the folder that relative paths start from. */
  readonly file: string;
  readonly folder: string;
  readonly sha256: string;
  readonly blue: BlueSource;
  /** Name of the copy on blue's server; undefined gives blue's name with `_green` behind it. */
  readonly green: string | undefined;
  /** Connection string of green's server with `${NAME}` references; undefined for blue's own server. */
  readonly greenUrl: string | undefined;
  readonly clone: CloneOptions;
  readonly sync: Sync;
  readonly migrate: readonly DriverUse[];
  readonly verify: readonly DriverUse[];
  readonly expect: Expectations;
  readonly gate: Gate;
  readonly hooks: readonly Hook[];
  readonly windows: readonly MaintenanceWindow[];
  readonly bake: Bake | undefined;
  /** By phase. */
  readonly onFailure: Readonly<Record<HeldPhase, Fallback>>;
  /** Who is told what becomes of a run. */
  readonly notify: readonly DriverUse[];
  /** Whether an unattended run needs an approval. */
  readonly approval: ApprovalMode;
  readonly retries: Retries;
  readonly limits: Limits;
  readonly switch: {
    readonly targets: readonly DriverUse[];
    readonly longTransactions: LongTransactions;
    readonly pause: Pause;
  };
}
