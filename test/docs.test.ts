import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, symlink, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'ava';
import { z } from 'zod';
import type { Driver } from '../src/core/drivers/driver.ts';
import { EXIT } from '../src/core/errors.ts';
import { definition, embedded } from '../src/playbook/keys/definition.ts';
import { loadPlaybook } from '../src/playbook/load.ts';
import { registries } from '../src/playbook/schema.ts';
import { createEnvironment } from '../src/playbook/values/environment.ts';
import { root } from './helpers/cli.ts';

const docs = globSync(['*.md', 'docs/**/*.md'], { cwd: root }).sort();
const texts = new Map(docs.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
const textOf = (file: string): string => {
  const text = texts.get(file);
  if (text === undefined) throw new Error(`there is no ${file}`);
  return text;
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Keys of an object's schema, each with its way from the top: `clone`, `clone.method`. */
function keysOf(schema: unknown, above = ''): string[] {
  const properties = isObject(schema) ? schema['properties'] : undefined;
  if (!isObject(properties)) return [];
  return Object.entries(properties).flatMap(([key, inner]) => {
    const deeper = keysOf(inner, `${above}${key}.`);
    return deeper.length > 0 ? deeper : [`${above}${key}`];
  });
}

const jsonSchema = (schema: z.ZodType): unknown =>
  z.toJSONSchema(schema, { target: 'draft-7', io: 'input', unrepresentable: 'any' });

/** Every reference of a text, with a value that any place takes. */
const environmentFor = (text: string) =>
  createEnvironment(
    Object.fromEntries(
      [...text.matchAll(/\$\{([A-Za-z_]\w*)/g)].map(([, name]) => [name!, 'postgresql://app@127.0.0.1/shop']),
    ),
  );

const yamlBlocks = (text: string): string[] =>
  [...text.matchAll(/^```ya?ml\n([^]*?)^```/gm)].map((match) => match[1]!);

test('every complete playbook in the documentation is valid', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-test-docs-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  // Their relative paths are those of a playbook in playbooks/.
  await symlink(join(root, 'fixtures'), join(folder, 'fixtures'));
  await mkdir(join(folder, 'playbooks'));
  let count = 0;
  for (const [file, text] of texts) {
    for (const block of yamlBlocks(text).filter((each) => /^version: 1$/m.test(each))) {
      count += 1;
      const path = join(folder, 'playbooks', `${count}.yml`);
      await writeFile(path, block);
      await t.notThrowsAsync(loadPlaybook(path, environmentFor(block)), `${file}:\n${block}`);
    }
  }
  t.true(count >= 3);
});

for (const playbook of globSync('playbooks/**/*.{yml,yaml}', { cwd: root }).sort()) {
  test(`${playbook} is valid`, async (t) => {
    const path = join(root, playbook);
    await t.notThrowsAsync(loadPlaybook(path, environmentFor(readFileSync(path, 'utf8'))));
  });
}

/** Anchors as GitHub makes them of headings. */
const anchorsOf = (file: string): string[] =>
  [...readFileSync(file, 'utf8').matchAll(/^#{1,6} (.+)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(/\s/g, '-'),
  );

test('every relative link leads to a file, and to a heading in it', (t) => {
  const broken: string[] = [];
  for (const [file, text] of texts) {
    const prose = text.replaceAll(/^```[^]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '');
    for (const [, target] of prose.matchAll(/\]\(<?([^)\s>]+)>?\)/g)) {
      if (/^[a-z][a-z+.-]*:/i.test(target!)) continue;
      const [path, anchor] = target!.split('#') as [string, string?];
      const found = path === '' ? join(root, file) : join(root, dirname(file), path);
      if (!existsSync(found)) broken.push(`${file} → ${target}`);
      else if (anchor !== undefined && found.endsWith('.md') && !anchorsOf(found).includes(anchor))
        broken.push(`${file} → ${target}: no such heading`);
    }
  }
  t.deepEqual(broken, []);
});

test('every key of a playbook is in docs/playbook.md', (t) => {
  const any = z.unknown();
  const keys = [
    ...keysOf(
      jsonSchema(
        definition({
          blue: any,
          green: any,
          migrator: any,
          check: any,
          target: any,
          notice: any,
          baked: any,
        }),
      ),
    ),
    ...keysOf(jsonSchema(embedded()), 'blue.embedded.'),
  ];
  t.true(keys.includes('switch.long-transactions.wait') && keys.includes('blue.embedded.stay'));
  const text = textOf('docs/playbook.md');
  t.deepEqual(
    keys.filter((key) => !text.includes(`\n| \`${key}\` |`)),
    [],
  );
});

test('every exit code is in docs/exit-codes.md', (t) => {
  const text = textOf('docs/exit-codes.md');
  t.deepEqual(
    Object.values(EXIT).filter((code) => !text.includes(`\n| ${code} |`)),
    [],
  );
});

test('every type of event is in docs/formats.md, and no other', (t) => {
  const source = readFileSync(join(root, 'src/core/event.ts'), 'utf8');
  const types = [...source.matchAll(/\btype: '([\w-]+)'/g)].map((match) => match[1]!);
  t.true(types.length >= 18);
  const text = textOf('docs/formats.md');
  t.deepEqual(
    types.filter((type) => !text.includes(`**\`${type}\`**`)),
    [],
    'not described',
  );
  t.deepEqual(
    types.filter((type) => !text.includes(`"type":"${type}"`)),
    [],
    'without an example',
  );
  const examples = [...text.matchAll(/"type":"([\w-]+)"/g)].map((match) => match[1]!);
  t.deepEqual(
    examples.filter((type) => !types.includes(type)),
    [],
    'there is no such event',
  );
});

test('every JSON block in the documentation is JSON lines', (t) => {
  for (const [file, text] of texts) {
    for (const [, block] of text.matchAll(/^```json\n([^]*?)^```/gm))
      for (const line of block!.trim().split('\n'))
        t.notThrows(() => void JSON.parse(line), `${file}: ${line}`);
  }
});

const { bake, ...others } = registries;

// Checks of the bake are documented with the others.
for (const [sort, registry] of Object.entries({ ...others, checks: { ...others.checks, ...bake } })) {
  for (const [name, driver] of Object.entries(registry) as [string, Driver<unknown, never, unknown>][]) {
    test(`docs/${sort}/${name}.md names every option`, (t) => {
      t.is(driver.name, name);
      const text = textOf(`docs/${sort}/${name}.md`);
      const options = keysOf(jsonSchema(driver.options));
      t.deepEqual(
        options.filter((option) => !new RegExp(`(?<![\\w-])${option}(?![\\w-])`).test(text)),
        [],
      );
    });
  }
}

test('the documentation names nothing of the machine it was written on', (t) => {
  const foreign = /\/(?:root|tmp|home|work)\b|_jobs\b|npm\w*mirror|\bregistry\.(?:npm|yarn)/i;
  t.deepEqual(
    docs.filter((file) => foreign.test(textOf(file))),
    [],
  );
});
