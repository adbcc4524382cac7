import type { Side } from '../side.ts';

/** What a rehearsal has in place of what a target would reach. */
export interface StandInKit {
  /** Connection strings on the stage; secret. */
  readonly urls: Readonly<Record<Side, string>>;
  /** The same as `${NAME}` references, for options that hold secrets. */
  readonly references: Readonly<Record<Side, string>>;
  /** Writes a file on the stage and gives its path. */
  file(name: string, text: string): Promise<string>;
  /** Starts a PgBouncer with these entries in a file of its own; they lead to blue. */
  pooler(entries: readonly string[]): Promise<StandInPooler>;
  /** The run renames databases. */
  readonly renames: boolean;
  /** Makes that a file can be read as before, and not replaced; gives what ends that. */
  obstruct(path: string): Promise<Undo>;
  /** Puts a database of somebody else's where blue is to be after a rename; gives what ends that. */
  occupy(): Promise<Undo>;
}

export type Undo = () => Promise<void>;

export interface StandInPooler {
  /** A reference to the connection string of the admin console. */
  readonly admin: string;
  /** The file with its entries. */
  readonly file: string;
  /** How clients reach an entry; secret. */
  readonly url: (entry: string) => string;
}

/** A target as it is rehearsed. */
export interface StandIn {
  /** Its options in the words of the playbook. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What of the real thing is not rehearsed, a line each. */
  readonly without: readonly string[];
  /** The connection string that clients find there now; undefined when this target does not tell them. */
  readonly address?: () => Promise<string>;
  /** Makes that it cannot be flipped, and gives what ends that; undefined when there is nothing to flip. */
  readonly refuse: (() => Promise<Undo>) | undefined;
}
