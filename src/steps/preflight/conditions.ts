import type { Finding } from '../../core/drivers/check.ts';
import type { Facts } from '../../core/database/facts.ts';
import type { Plan } from '../../core/plan.ts';
import { finding, type PreflightInput } from './condition.ts';
import { live } from './live.ts';
import { names } from './names.ts';
import { objects } from './objects.ts';
import { rights } from './rights.ts';
import { server } from './server.ts';

/** All conditions that follow from one reading of the server, in the order in which they are shown. Pure. */
export function lookAtFacts(facts: Facts, plan: PreflightInput): Finding[] {
  return [server, rights, names, objects, live].flatMap((condition) => condition(facts, plan));
}

/** A playbook may leave out every check; it should not do so by oversight. */
export const lookAtChecks = (verify: Plan['verify']): Finding[] =>
  verify.length > 0
    ? []
    : [
        finding('proof', 'warning', 'the playbook has no checks: nothing is proved before the switch', {
          hint: 'leave out verify: [] to have schema, row-counts, checksums and sequences',
        }),
      ];
