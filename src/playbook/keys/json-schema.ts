import { z } from 'zod';
import type { Registry } from '../../core/drivers/driver.ts';
import { definition, embedded, type Registries } from './definition.ts';
import { strictly } from '../validate.ts';

/** The draft-7 JSON Schema of playbooks, for editors: made of the definitions that validate them. */
export function playbookJsonSchema(registries: Registries): Record<string, unknown> {
  const playbook = definition({
    blue: blue(),
    green: green(),
    migrator: oneOf(registries.migrators),
    check: oneOf(registries.checks),
    target: oneOf(registries.targets),
    baked: oneOf(registries.bake),
    notice: oneOf(registries.notices),
  }).meta({ title: 'cutover playbook', description: 'What cutover does, and with which databases.' });
  return z.toJSONSchema(playbook, { target: 'draft-7', io: 'input', unrepresentable: 'any' });
}

const blue = () =>
  z
    .union([
      z.literal('embedded').describe('A PostgreSQL server that cutover starts by itself.'),
      z.string().describe('A connection string, without its password: ${DATABASE_URL}.'),
      z.strictObject({ embedded: embedded().nullable() }).describe('An embedded server with options.'),
    ])
    .describe('The database that is live now.');

const green = () =>
  z
    .string()
    .optional()
    .describe(
      "The copy: a name on blue's server (default: blue's name with _green behind it), or with sync a connection string to another server, without its password: ${GREEN_URL}.",
    );

/** An entry of a list of drivers: a one-key map, or the bare name where the driver allows it. */
function oneOf(registry: Registry<never, unknown>): z.ZodType {
  const entries = Object.entries(registry).flatMap(([name, driver]) => {
    const labels = { title: name, description: driver.summary };
    const entry = z.strictObject({ [name]: strictly(driver.options) }).meta(labels);
    return driver.bare ? [z.literal(name).meta(labels), entry] : [entry];
  });
  return z.union(entries);
}
