import type { Setting } from './facts.ts';
import type { Estimate } from '../../util/units.ts';

export interface PlannedClone {
  readonly plan: ClonePlan;
  readonly does: readonly string[];
  /** Why it is done this way. */
  readonly reason: string;
  readonly estimate: Estimate;
}

/** The statements of a clone, in the three moments in which they run. */
export interface ClonePlan {
  readonly from: string;
  /** Name that carries the run's id, so that a copy is known as ours from its first instant. */
  readonly interim: string;
  readonly name: string;
  readonly create: string;
  /** How the server copies, which decides how long it takes. */
  readonly way: 'wal-log' | 'file-copy' | 'dump';
  /** Everything that a template leaves behind, executed when the copy has its name. */
  readonly carry: readonly string[];
  /** Settings of the application's own (`app.jwt_secret`): their values are read at the clone, and stored nowhere. */
  readonly unseen: readonly Pick<Setting, 'role' | 'name'>[];
}
