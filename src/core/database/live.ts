import type { Reader } from './catalog.ts';
import type { ClonePlan } from './clone.ts';
import type { LiveFacts } from './live-facts.ts';
import type { WorkControl } from '../work.ts';
import type { LongTransactions, Sync } from '../playbook.ts';
import type { Side } from '../side.ts';

/** The direction in which changes flow. */
export interface Way {
  readonly from: Side;
  readonly to: Side;
}

/** A table whose changes are followed. */
export interface FollowedTable {
  readonly path: readonly [schema: string, name: string];
  /** Only these columns; undefined for all. */
  readonly columns: readonly string[] | undefined;
  /** It has nothing by which a row can be found, and gets REPLICA IDENTITY FULL until the run is retired; then this. */
  readonly identity: 'default' | 'nothing' | undefined;
}

/** What is followed, as planned. */
export interface FollowPlan {
  readonly tables: readonly FollowedTable[];
  /** Connections that blue allows: -1 without a limit. */
  readonly connectionLimit: number;
}

/** How far a follower is behind. */
export interface Lag {
  /** Bytes of WAL that are not confirmed yet. */
  readonly bytes: number;
  /** Somebody applies the changes. */
  readonly running: boolean;
  /** Who that is: another one when the one before has failed. */
  readonly worker?: number | undefined;
  /** What keeps the changes from coming, as far as the servers tell. */
  readonly error?: string | undefined;
  /** How often applying has failed so far, when nobody is at it now; 0 where the server does not count it (14). */
  readonly failed?: number;
}

/** What statements took so far, by their texts with `$1` in place of values. */
export type StatementTimes = ReadonlyMap<
  string,
  { readonly calls: number; /** All together. */ readonly ms: number }
>;

/** Both sides as they were at one and the same moment. */
export interface SamePoint {
  readonly blue: Reader;
  readonly green: Reader;
  /** Milliseconds for which writers had to wait. */
  readonly heldMs: number;
  end(): Promise<void>;
}

/** Whether a swap back would be lossless. */
export interface WayBack {
  readonly lag: Lag;
  /** What a swap back would lose, with the first row of each kind; a line each. */
  readonly spoilers: readonly string[];
  /** Columns that only the live side has: what is in them does not come along. */
  readonly columns: readonly string[];
}

/** A transaction that a follower fails at, again and again. */
export interface Standing {
  /** Where it was committed in the log of the side that is followed. */
  readonly lsn: string;
  /** `2 rows inserted into public.users`, a table and kind each. */
  readonly changes: readonly string[];
}

/**
 * One attempt to move ownership while clients write, with everything done that can be done before they are held. All of
 * it can be put back until ownership has moved and `to` is open. Deadlines are times of `performance.now()`.
 */
export interface Passage {
  /** Nobody gets into `from` any more, and nobody is in it. */
  fence(deadline: number): Promise<void>;
  /** Writes a marker on `from`; gives a position behind everything that was written there. */
  mark(deadline: number): Promise<string>;
  /** Throws when the schema of `from` was changed. Everything of `from` is on `to`, durably; sequences are set, and the way back begins behind it. */
  drain(position: string, deadline: number): Promise<void>;
  /** The tool and its workers leave both databases, which a rename asks for. */
  leave(): Promise<void>;
  end(): Promise<void>;
}

/** Following one side by the other while clients write. */
export interface Live {
  facts(): Promise<LiveFacts>;
  /** Blue's tables but for what the migrations drop. */
  plan(sync: Sync, dropped: readonly string[], connectionLimit: number): Promise<FollowPlan>;
  /** What will be executed, for the plan. */
  describe(plan: FollowPlan): Readonly<Record<'publish' | 'capture' | 'follow', readonly string[]>>;

  /** Makes blue ready to be followed; repeatable. */
  publish(plan: FollowPlan): Promise<void>;
  isPublished(): Promise<boolean>;
  /** From here on blue's changes are kept for green. Waits for whoever writes anywhere on blue's server, and says for whom. */
  capture(control: WorkControl): Promise<void>;
  /** A position of blue's behind everything that was written there; exact only while nobody writes. */
  point(): Promise<string>;
  isCaptured(): Promise<boolean>;
  /** Blue's changes are kept no longer; says whether they were. */
  release(): Promise<boolean>;
  /** Makes the copy by pg_dump and pg_restore from the very point from which changes are kept. Nobody is held. */
  copy(plan: ClonePlan, control: WorkControl): Promise<{ oid: number }>;
  /** Gives a fresh copy what it needs to follow, and takes away what it should not have from blue. */
  tidyCopy(plan: FollowPlan): Promise<void>;

  /**
   * `to` follows `from`, and is fenced against everybody else. It begins at `point` or, without one, where changes are
   * kept from. Repeatable; says whether it begins now.
   */
  follow(way: Way, plan: FollowPlan, point?: string): Promise<boolean>;
  lag(way: Way): Promise<Lag>;
  /** Milliseconds that a change takes to arrive; undefined when it takes longer than the limit. */
  beat(way: Way, limit: number): Promise<number | undefined>;
  /** Of one side's database alone; undefined where pg_stat_statements is not installed there, or not loaded. */
  statements(side: Side): Promise<StatementTimes | undefined>;
  /** Another one when the schema was changed. */
  fingerprint(side: Side): Promise<string>;
  /** Who changed the schema since `follow`, a line each; only of blue, and until ownership has moved. */
  changes(side: Side): Promise<string[]>;
  /** Readers of both sides at one and the same moment: writers of `way.from` are held for the few milliseconds it takes. */
  samePoint(way: Way, plan: FollowPlan, control: WorkControl): Promise<SamePoint>;

  /**
   * Everything that can be done before clients are held; one that fails is put back like any attempt. `since` is a
   * position of `way.from`: no DDL may be later.
   */
  prepare(
    way: Way,
    plan: FollowPlan,
    since: string,
    long: LongTransactions,
    control: WorkControl,
  ): Promise<Passage>;
  /** Marks `from` as the previous copy, which putting back takes away again. Repeatable. */
  setAside(way: Way): Promise<void>;
  /** Lets clients into `to`: from here on there is only the way forward. `name` is its database's, where that is known. */
  open(way: Way, plan: FollowPlan, comment: string | undefined, name?: string): Promise<void>;
  /** Puts an attempt back, first half: lets clients into `from` again. Repeatable. */
  reopen(way: Way): Promise<void>;
  /** Puts an attempt back, second half: `to` follows, fenced against everybody else; nothing leads back yet. Repeatable. */
  stepBack(way: Way): Promise<void>;
  /** After ownership has moved: `from` is the previous copy and follows `to`, fenced, and no longer the other way round. Repeatable. */
  settle(way: Way): Promise<void>;
  /** A transaction id of this side: whatever is written from now on has a later one. */
  position(side: Side): Promise<string>;
  /** `since` is a position of `way.from`: rows of before are no loss in tables that only it has. */
  wayBack(way: Way, since: string | undefined): Promise<WayBack>;
  /** What `to` was just seen to fail at, where it counts what fails; undefined when it fails no longer. */
  standing(way: Way, control: WorkControl): Promise<Standing | undefined>;
  /** `to` goes on behind the transaction that it stands at: nothing of it is ever applied there. */
  passOver(way: Way, lsn: string, control: WorkControl): Promise<void>;
  /**
   * Ends following, and takes everything that it made away from the side that stays; the other one, which is to be
   * dropped, stays fenced. Says whether there was anything. Repeatable.
   */
  forget(plan: FollowPlan, stays: Side): Promise<boolean>;
}
