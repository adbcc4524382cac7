import { writeFile } from 'node:fs/promises';
import { playbookJsonSchema } from '../src/playbook/keys/json-schema.ts';
import { registries } from '../src/playbook/schema.ts';

const file = new URL('../docs/playbook.schema.json', import.meta.url);
await writeFile(file, `${JSON.stringify(playbookJsonSchema(registries), null, 2)}\n`);
