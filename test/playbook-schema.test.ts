import { readFile } from 'node:fs/promises';
import test from 'ava';
import { createEnvironment } from '../src/playbook/values/environment.ts';
import { playbookJsonSchema } from '../src/playbook/keys/json-schema.ts';
import { parsePlaybook } from '../src/playbook/parse.ts';
import { registries } from '../src/playbook/schema.ts';

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly title?: string;
  readonly const?: unknown;
  readonly default?: unknown;
  readonly pattern?: string;
  readonly description?: string;
}

const schema = playbookJsonSchema(registries) as Schema;

test('docs/playbook.schema.json is up to date: npm run schema', async (t) => {
  const stored = await readFile(new URL('../docs/playbook.schema.json', import.meta.url), 'utf8');
  t.deepEqual(JSON.parse(stored), JSON.parse(JSON.stringify(schema)));
});

test('every driver is an entry of its list, with a title, a description and no other keys', (t) => {
  const lists = [
    [registries.migrators, schema.properties?.['migrate']?.anyOf?.find(({ items }) => items)?.items],
    [registries.checks, schema.properties?.['verify']?.items],
    [registries.notices, schema.properties?.['notify']?.anyOf?.find(({ items }) => items)?.items],
    [registries.targets, schema.properties?.['switch']?.properties?.['targets']?.items],
  ] as const;
  for (const [registry, entry] of lists) {
    const choices = entry?.anyOf ?? [];
    for (const [name, driver] of Object.entries(registry)) {
      t.is(driver.name, name);
      const choice = choices.find(({ properties }) => properties && Object.hasOwn(properties, name));
      t.like(choice, { title: name, additionalProperties: false, required: [name] });
      t.truthy(choice?.description);
      t.is(choice?.properties?.[name]?.additionalProperties, false, `${name} takes unknown keys`);
      t.is(
        choices.some((other) => other.const === name),
        driver.bare === true,
      );
    }
  }
});

test('what must be there, what is filled in, and units', (t) => {
  t.deepEqual([...(schema.required ?? [])].sort(), ['blue', 'name', 'switch', 'version']);
  t.is(schema.additionalProperties, false);
  const wait = schema.properties?.['switch']?.properties?.['long-transactions']?.properties?.['wait'];
  t.is(wait?.default, '10s');
  const pattern = new RegExp(wait?.pattern ?? '');
  t.deepEqual(
    ['10s', '1.5h', '${WAIT:-5s}', '10', '10 s', ''].map((value) => pattern.test(value)),
    [true, true, true, false, false, false],
  );
  t.regex(wait?.description ?? '', /duration/);
});

test('the smallest playbook passes with all the drivers that there are', (t) => {
  const playbook = parsePlaybook(
    'version: 1\nname: x\nblue: embedded\nswitch: { targets: [database-rename] }\n',
    {
      file: 'x.yml',
      env: createEnvironment({}),
      registries,
    },
  );
  t.deepEqual(
    playbook.verify.map((use) => use.driver),
    ['schema', 'row-counts', 'checksums', 'sequences'],
  );
});
