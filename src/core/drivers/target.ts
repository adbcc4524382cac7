import type { Resolve } from './driver.ts';
import type { Database, Names } from '../database/database.ts';
import type { Side } from '../side.ts';

/** Something that decides where clients go, and can be pointed at the other side. */
export interface Target {
  /** What the switch will execute, and what a swap back would, for the plan. */
  describe(): { does: string[]; undo: string };
  /** The side it points at now; undefined when it is neither. Asks the real thing. */
  current(): Promise<Side | undefined>;
  /** Finds out everything that could make `switch` fail, and stages what can be staged. Changes nothing that clients see. */
  prepare(from: Side, to: Side): Promise<void>;
  /** What of `switch` can be done ahead of time, where every moment of it counts. */
  stage?(to: Side): Promise<void>;
  /** Takes away what was staged, by this process or by one that died. */
  unstage?(): Promise<void>;
  /**
   * Compare-and-set: points from `from` to `to`, or throws and leaves it as it was. Repeatable. Throws AwayError when all
   * is written and nobody runs who would read it.
   */
  switch(from: Side, to: Side): Promise<void>;
  /** Where clients can be held between two of their transactions. */
  readonly hold?: Hold;
  /** Closes what it has open. */
  end?(): Promise<void>;
}

/** Clients wait, and notice nothing but that. */
export interface Hold {
  /** Everything that can be done before clients wait. */
  ready(): Promise<void>;
  /** Resolves when no client is in a transaction; rejects when the signal fires first. `release` must follow. */
  pause(signal: AbortSignal): Promise<void>;
  /** Clients go on; also after a process that died. Repeatable; says whether they were held. */
  release(): Promise<boolean>;
  /** Puts back, after a moment, what `release` had to alter for it; also after a process that died. */
  tidy(): Promise<void>;
}

export interface TargetContext {
  readonly folder: string;
  readonly database: Database;
  readonly names: Names;
  /** The run renames databases: the live side is always found under blue's name. */
  readonly renames: boolean;
  readonly resolve: Resolve;
  /** Where the sides' servers are, when they are two. */
  readonly places: Readonly<Record<Side, { readonly host: string; readonly port: string }>> | undefined;
}
