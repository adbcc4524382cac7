import type { Resolve } from './driver.ts';
import type { Database, Names } from './database.ts';
import type { Side } from './side.ts';

/** Something that decides where clients go, and can be pointed at the other side. */
export interface Target {
  /** What the switch will execute, and what a swap back would, for the plan. */
  describe(): { does: string[]; undo: string };
  /** The side it points at now; undefined when it is neither. Asks the real thing. */
  current(): Promise<Side | undefined>;
  /** Finds out everything that could make `switch` fail, and stages what can be staged. Changes nothing that clients see. */
  prepare(from: Side, to: Side): Promise<void>;
  /** Compare-and-set: points from `from` to `to`, or throws and leaves it as it was. Repeatable. */
  switch(from: Side, to: Side): Promise<void>;
}

export interface TargetContext {
  readonly folder: string;
  readonly database: Database;
  readonly names: Names;
  /** The run renames databases: the live side is always found under blue's name. */
  readonly renames: boolean;
  readonly resolve: Resolve;
}
