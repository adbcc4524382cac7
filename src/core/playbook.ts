import type { DriverUse } from './driver.ts';

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

export interface LongTransactions {
  /** Milliseconds. */
  readonly wait: number;
  readonly then: 'refuse' | 'end';
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
  readonly clone: { readonly method: 'template'; readonly strategy: 'auto' | 'wal-log' | 'file-copy' };
  readonly sync: 'none';
  readonly migrate: readonly DriverUse[];
  readonly verify: readonly DriverUse[];
  readonly expect: Expectations;
  readonly gate: 'ask' | 'open';
  readonly switch: {
    readonly targets: readonly DriverUse[];
    readonly longTransactions: LongTransactions;
  };
}
