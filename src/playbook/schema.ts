import { bakeChecks, checks } from '../checks/registry.ts';
import { migrators } from '../migrators/registry.ts';
import { notices } from '../notices/registry.ts';
import { targets } from '../targets/registry.ts';
import type { Registries } from './keys/definition.ts';

/** Every driver that a playbook can name. */
export const registries = { targets, migrators, checks, notices, bake: bakeChecks } satisfies Registries;
