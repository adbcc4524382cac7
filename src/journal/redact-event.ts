import type { EventBody } from '../core/event.ts';
import type { Plan } from '../core/plan.ts';
import { redactDeep } from '../util/redact.ts';

/**
 * An event without secrets. What a stored plan is executed from holds references instead of secrets and stays to the
 * letter: a password that happens to be an ordinary word must not turn a database's name into stars.
 */
export function redactEvent(body: EventBody): EventBody {
  return body.type === 'run-created'
    ? { ...redactDeep(body), plan: redactPlan(body.plan) }
    : redactDeep(body);
}

export function redactPlan(plan: Plan): Plan {
  const { names, source, run, migrate, targets, expect, playbook } = plan;
  return {
    ...redactDeep(plan),
    ...{ names, source, run, migrate, targets, expect, playbook },
    steps: plan.steps.map((step) => ({
      ...redactDeep(step),
      id: step.id,
      kind: step.kind,
      input: step.input,
    })),
  };
}
