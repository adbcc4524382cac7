import type { Finding } from '../../core/check.ts';
import type { Facts } from '../../core/database.ts';
import type { PreflightInput } from './condition.ts';
import { names } from './names.ts';
import { objects } from './objects.ts';
import { rights } from './rights.ts';
import { server } from './server.ts';

/** All conditions that follow from one reading of the server, in the order in which they are shown. Pure. */
export function lookAtFacts(facts: Facts, plan: PreflightInput): Finding[] {
  return [server, rights, names, objects].flatMap((condition) => condition(facts, plan));
}
