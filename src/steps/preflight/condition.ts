import type { Finding, Severity } from '../../core/drivers/check.ts';
import type { Facts } from '../../core/database/facts.ts';
import type { Plan } from '../../core/plan.ts';

/** What the conditions know of the plan. */
export type PreflightInput = Pick<Plan, 'names' | 'renames' | 'longTransactions' | 'live' | 'bake'>;

/** Looks at the facts and finds what stops or concerns a run. Pure. */
export type Condition = (facts: Facts, plan: PreflightInput) => Finding[];

/** A finding of the preflight; `list` is printed as one line an entry. */
export function finding(
  check: string,
  severity: Severity,
  message: string,
  more: { hint?: string; list?: readonly string[] } = {},
): Finding {
  return {
    check,
    severity,
    message,
    ...(more.hint === undefined ? {} : { hint: more.hint }),
    ...(more.list === undefined ? {} : { detail: more.list.map((entry) => `  ${entry}`).join('\n') }),
  };
}
