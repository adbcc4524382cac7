import type { Names } from '../core/database/database.ts';
import type { PlannedClone } from '../core/database/clone.ts';
import type { Facts } from '../core/database/facts.ts';
import type { DriverUse } from '../core/drivers/driver.ts';
import type { Finding } from '../core/drivers/check.ts';
import type { MigrationFile } from '../core/drivers/migrator.ts';
import type { LivePlan } from '../core/plan.ts';

/** What drivers say of themselves, gathered before the plan is built. */
export interface PlanParts {
  readonly run: string;
  readonly createdAt: string;
  readonly facts: Facts;
  readonly names: Names;
  readonly findings: readonly Finding[];
  readonly clone: PlannedClone;
  /** Undefined when nobody follows blue. */
  readonly live: LivePlan | undefined;
  readonly follows: Readonly<Record<'publish' | 'capture' | 'follow', readonly string[]>> | undefined;
  readonly close: { readonly blue: readonly string[]; readonly green: readonly string[] };
  readonly migrators: readonly {
    readonly use: DriverUse;
    readonly does: readonly string[];
    readonly files: readonly MigrationFile[];
  }[];
  readonly checks: readonly { readonly use: DriverUse; readonly does: readonly string[] }[];
  /** Checks of the bake. */
  readonly bakes: readonly { readonly use: DriverUse; readonly does: readonly string[] }[];
  readonly targets: readonly {
    readonly use: DriverUse;
    readonly does: readonly string[];
    readonly undo: string;
  }[];
}
