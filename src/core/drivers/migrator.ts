import type { Path } from '../database/catalog.ts';
import type { Resolve } from './driver.ts';

/** A connection to one database, for SQL that changes it. */
export interface SqlSession {
  /** One statement, or several when there are no parameters. Errors keep SQLSTATE in `code` and `position`. */
  query<R extends Record<string, unknown> = Record<string, unknown>>(
    sql: string,
    parameters?: readonly unknown[],
  ): Promise<R[]>;
  /** Lets go of a server that does not answer: what is being executed fails at once. */
  destroy(reason: string): void;
  end(): Promise<void>;
}

/** The database that a migrator works on: green in a run, any database with `cutover migrate`. */
export interface MigrationTarget {
  /** Opens a connection; the caller ends it. */
  session(): Promise<SqlSession>;
  /** Connection string with everything a child process needs; secret. */
  readonly url: string;
  /** The database's name, for people. */
  readonly name: string;
}

export type MigrationState = 'applied' | 'pending' | 'rolled-back' | 'failed' | 'changed' | 'missing';

/** One migration, as the folder and the version table know it. */
export interface MigrationStatus {
  readonly version: string;
  readonly description: string;
  readonly state: MigrationState;
  readonly file?: string;
  readonly appliedAt?: string;
  readonly ms?: number;
}

/** A file whose text belongs to the plan's fingerprint. */
export interface MigrationFile {
  readonly path: string;
  readonly sha256: string;
}

export interface MigrationControl {
  readonly signal: AbortSignal;
  progress(done: number, total: number, note?: string): void;
}

/** How far back: the newest `steps` migrations, or everything above a version (`0` is everything). */
export type RevertGoal = { readonly steps: number } | { readonly to: string };

export interface Migrator {
  /**
   * It notes what it has applied, and `apply` goes on from there. Its errors have an SQLSTATE in their causes only where
   * the server has rolled back what had failed.
   */
  readonly repeatable?: boolean;
  /** Tables in which the migrator keeps its own books: their rows change with every migration, and prove nothing. */
  readonly bookkeeping?: readonly Path[];
  /** What it would execute on a database in the state of `target`, for the plan; reads, never writes. */
  plan(target: MigrationTarget): Promise<{ does: string[]; files: MigrationFile[]; pending?: number }>;
  /** Every migration and its state; undefined where the tool cannot say. */
  status(target: MigrationTarget): Promise<MigrationStatus[] | undefined>;
  /** Brings the database to the newest version; returns what it did, a line each. */
  apply(target: MigrationTarget, control: MigrationControl): Promise<string[]>;
  /** Takes applied migrations back, newest first; returns what it did, a line each. Absent where the tool cannot. */
  revert?(target: MigrationTarget, goal: RevertGoal, control: MigrationControl): Promise<string[]>;
}

export interface MigratorContext {
  /** Folder of the playbook: where commands run. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly resolve: Resolve;
}
