import type { LiveFacts } from './live-facts.ts';
import type { Mark } from './mark.ts';

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
    /** A hash of each object of the schema, by its kind and name. */
    readonly schema: Readonly<Record<string, string>>;
    /** How the database sorts and compares. */
    readonly locale: {
      readonly encoding: string;
      readonly collate: string;
      readonly ctype: string;
      readonly provider: 'libc' | 'icu' | 'builtin';
      readonly locale: string | undefined;
    };
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
  /** Only for a run that follows blue. */
  readonly live?: LiveFacts | undefined;
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
