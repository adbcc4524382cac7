/** Where an object lives: schema first, as in `['public', 'shops', 'tier']`. Extensions have no schema. */
export type Path = readonly string[];

/** One object of a database's schema with everything that makes it what it is. */
export interface CatalogObject {
  readonly kind: string;
  readonly path: Path;
  /** The object in the server's own words; equal text means equal object. */
  readonly definition: string;
}

export interface Column {
  readonly name: string;
  /** The base type's name as `format_type` prints it (domains resolved), e.g. `numeric`, `timestamp with time zone`. */
  readonly type: string;
  readonly nullable: boolean;
  readonly generated: boolean;
}

/** A relation that holds rows of its own; partitions are read through their root. */
export interface Table {
  readonly path: readonly [schema: string, name: string];
  readonly columns: readonly Column[];
  /** The planner's idea, for progress bars only. */
  readonly estimatedRows: number;
  /** Space on disk as of the last ANALYZE, without what is stored out of line; with all partitions. */
  readonly bytes: number;
  readonly partitioned: boolean;
  /** Columns that tell its rows apart: the primary key or another unique one without NULLs; empty when there is none. */
  readonly key: readonly string[];
}

export interface Catalog {
  readonly objects: readonly CatalogObject[];
  readonly tables: readonly Table[];
}

export interface SequenceState {
  readonly path: readonly [schema: string, name: string];
  /** `last_value`, which may exceed what a JavaScript number holds. */
  readonly lastValue: bigint;
  readonly isCalled: boolean;
  readonly increment: bigint;
}

/** A column to compare: its name on this side, and how it must be hashed so that both sides agree. */
export interface HashedColumn {
  readonly name: string;
  /** Hash by this type's own function; `text` hashes the value's text and fits every type. */
  readonly as: string;
  readonly nullable: boolean;
  /** SQL over the table's columns that is read in the column's place. */
  readonly expression?: string;
}

export interface Checksum {
  readonly rows: bigint;
  /** Order-independent sum over every row's hash, as decimal text. */
  readonly sum: string;
}

/** Rows by the lowest bits of a hash of the columns that identify them: `among`, out of what `bits` tell apart. */
export interface Buckets {
  readonly by: readonly HashedColumn[];
  readonly bits: number;
  readonly among: readonly number[];
}

/** One row of a table, with the hashes by which it is held against the other side's. */
export interface HashedRow {
  /** Partition and place in it, as the server writes them. */
  readonly place: string;
  /** A hash of the columns that identify it. */
  readonly id: string;
  /** The beginnings of their values, as text. */
  readonly key: readonly (string | null)[];
  readonly hash: string;
  /** One a column. */
  readonly hashes: readonly string[];
  /** The beginnings of the values, as text; empty when they were not asked for. */
  readonly values: readonly (string | null)[];
}

export interface ForeignKey {
  readonly table: Path;
  readonly name: string;
  readonly references: Path;
  readonly validated: boolean;
}

export interface Index {
  /** Schema, table, and name. */
  readonly path: Path;
  readonly valid: boolean;
  readonly unique: boolean;
}

/** What a database promises of itself, and whether it holds. */
export interface Integrity {
  foreignKeys(): Promise<ForeignKey[]>;
  /** Rows whose parent is missing. */
  orphans(key: ForeignKey): Promise<bigint>;
  indexes(): Promise<Index[]>;
  /** Keys of a unique index that more than one row has, by reading the table and not the index. */
  duplicates(index: Index): Promise<bigint>;
  /** Holds B-tree indexes against their tables; the complaints. Undefined where the means is not there (amcheck). */
  damaged(
    progress?: (done: number, total: number) => void,
  ): Promise<{ path: Path; complaint: string }[] | undefined>;
  /** Tables with rows of which the planner knows nothing. */
  unanalyzed(): Promise<Path[]>;
}

export type Row = Record<string, unknown>;

/** Rows of which every value is hashed; of the others only what tells them apart is. */
export interface Sample {
  /** The columns by whose hash a row is in the sample, on any server. */
  readonly by: readonly HashedColumn[];
  /** Between 0 and 1. */
  readonly share: number;
}

/** How readings give way to others who work on the same server. */
export interface Pace {
  /** No reading of rows begins while more sessions of others than that are at work. */
  readonly most: number;
  readonly signal: AbortSignal;
  /** Heard again and again while readings wait. */
  waiting(active: number, since: Date): void;
  /** Heard when they go on after that. */
  goesOn(): void;
}

/** A table whose checksum is asked for. */
export interface TableToHash {
  readonly table: Path;
  readonly columns: readonly HashedColumn[];
  readonly sample?: Sample | undefined;
}

/** Reads one database, over a connection that stays allowed when the database is closed to everybody else. */
export interface Reader {
  /** Readings that go on at the same time; more of them wait. */
  readonly lanes: number;
  /** From then on, by `performance.now()`, the server ends what it is asked; undefined for never. */
  setDeadline(deadline: number | undefined): void;
  /**
   * From then on readings of rows wait, and throw BusyError when they have waited too long; undefined for never. Throws
   * BusyError at once when it cannot be seen how much others have to do.
   */
  setPace(pace: Pace | undefined): Promise<void>;
  catalog(): Promise<Catalog>;
  countRows(table: Path): Promise<bigint>;
  /** Large tables are read in parts; `progress` hears the rows of each. */
  checksum(
    table: Path,
    columns: readonly HashedColumn[],
    options?: {
      readonly sample?: Sample | undefined;
      readonly progress?: ((rows: bigint) => void) | undefined;
    },
  ): Promise<Checksum>;
  /**
   * Those of several tables in one statement, in their order: of small ones, which take less time to be read than to be
   * asked for. Where one of them cannot be read, none is.
   */
  checksums(tables: readonly TableToHash[]): Promise<Checksum[]>;
  /** A checksum of each column by itself, in one reading. */
  columnSums(table: Path, columns: readonly HashedColumn[]): Promise<string[]>;
  /** Checksums of the rows in each bucket of `bits` bits; only of rows in `within`, where that is given. */
  buckets(
    table: Path,
    columns: readonly HashedColumn[],
    cut: Pick<Buckets, 'by' | 'bits'>,
    within?: Buckets,
  ): Promise<ReadonlyMap<number, Checksum>>;
  /** Rows in buckets, at most `limit` of them, with the beginnings of their values or without. */
  rowsIn(
    table: Path,
    columns: readonly HashedColumn[],
    buckets: Buckets,
    options: { readonly limit: number; readonly values: boolean },
  ): Promise<HashedRow[]>;
  /** All large objects together, or undefined when the role may not read them. */
  largeObjects(): Promise<Checksum | undefined>;
  sequences(): Promise<SequenceState[]>;
  readonly integrity: Integrity;
  /** How the server would execute a statement, as it writes it in JSON; with `generic` its `$1` stand for any value. */
  explain(sql: string, options: { readonly generic: boolean }): Promise<string>;
  /** The statements of this database that took most time in all, where pg_stat_statements is at hand; undefined otherwise. */
  heaviest(count: number): Promise<string[] | undefined>;
  /** Runs a query in a read-only transaction. Values come as the server's text. */
  query(sql: string): Promise<Row[]>;
}
