import type { Mark } from './mark.ts';
import type { Side } from '../side.ts';

/** One server, as far as replication rests on it. */
export interface ServerFacts {
  readonly version: string;
  readonly major: number;
  readonly identifier: string;
  readonly inRecovery: boolean;
  readonly walLevel: string;
  /** pg_stat_statements is loaded. */
  readonly statements: boolean;
  readonly freeSlots: number;
  readonly freeSenders: number;
  readonly freeWorkers: number;
  readonly freeOrigins: number;
  /** Milliseconds; 0 is without end. */
  readonly walSenderTimeout: number;
  /** `-1` keeps what a slot needs. */
  readonly slotKeep: string;
  readonly superuser: boolean;
  readonly role: string;
  readonly roles: readonly string[];
  readonly extensions: readonly string[];
  readonly databases: readonly {
    readonly name: string;
    readonly oid: number;
    readonly mark: Mark | undefined;
  }[];
}

export interface LiveFacts {
  /** Both sides are on one server. */
  readonly together: boolean;
  readonly servers: Readonly<Record<Side, ServerFacts>>;
  /** Servers that cannot connect to the side that they are to follow, and what they say. */
  readonly unreachable: readonly { readonly from: Side; readonly to: Side; readonly problem: string }[];
  /** Roles and extensions that blue's objects need. */
  readonly roles: readonly string[];
  readonly extensions: readonly string[];
  /** pg_dump and pg_restore as they were found, by their major version; or why they cannot be used. */
  readonly tools: readonly { readonly name: string; readonly major?: number; readonly problem?: string }[];
  /** Number of sequences. */
  readonly sequences: number;
  /** The run whose marker schema is in blue. */
  readonly leftBy: string | undefined;
  readonly tables: readonly {
    readonly path: readonly [schema: string, name: string];
    readonly name: string;
    readonly logged: boolean;
    /** Replication can tell which row was updated or deleted. */
    readonly findable: boolean;
    readonly full: boolean;
    /** Columns whose type has no equality. */
    readonly incomparable: readonly string[];
    readonly identity: readonly string[];
  }[];
}
