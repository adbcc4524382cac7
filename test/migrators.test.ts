// What every migrator promises, and what its page says of it.
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { parse } from 'yaml';
import { z } from 'zod';
import { migrators } from '../src/migrators/registry.ts';
import { folderWith } from './helpers/migrator-contract.ts';
import { migratorSuite, open, sqlIn } from './helpers/migrator-suite.ts';

const { contract } = migratorSuite();

contract({
  name: 'sql',
  knowsStatus: true,
  transactional: true,
  async open(t, statements) {
    return sqlIn(await folderWith(t, { 'V001__work.sql': statements.map((line) => `${line};\n`).join('') }));
  },
});

// A tool in miniature: runs SQL on the database whose address it finds in its environment, one statement at a time.
const TOOL = `
import pg from '${new URL('../node_modules/pg/esm/index.mjs', import.meta.url).href}';
const client = new pg.Client({ connectionString: process.env.TOOL_URL });
await client.connect();
console.log('connected to ' + process.env.TOOL_URL);
try {
  for (const statement of JSON.parse(process.argv[2])) await client.query(statement);
} catch (error) {
  console.error('tool: ' + error.message);
  process.exitCode = 3;
} finally {
  await client.end();
}
`;

contract({
  name: 'command',
  knowsStatus: false,
  transactional: false,
  async open(t, statements) {
    const folder = await folderWith(t, { 'tool.mjs': TOOL });
    const quoted = JSON.stringify(statements).replaceAll("'", String.raw`'\''`);
    return open(
      'command',
      { run: `'${process.execPath}' tool.mjs '${quoted}'`, variable: 'TOOL_URL' },
      folder,
    );
  },
});

const docs = (page: string): Promise<string> =>
  readFile(new URL(`../docs/migrators/${page}.md`, import.meta.url), 'utf8');
const blocks = (page: string, language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`{3}${language}\\n(.*?)^\`{3}$`, 'gms'))].map((match) => match[1]!);

test('the pages describe every option, and their examples are right', async (t) => {
  for (const [name, driver] of Object.entries(migrators)) {
    const page = await docs(name);
    for (const block of blocks(page, 'yaml')) {
      const { migrate } = parse(block) as { migrate: Record<string, unknown>[] };
      for (const use of migrate) t.notThrows(() => driver.options.parse(use[name]));
    }
    const { properties } = z.toJSONSchema(driver.options, { io: 'input' });
    for (const option of Object.keys(properties ?? {}))
      t.regex(page, new RegExp(`^\\| \`${option}\` \\|`, 'm'));
  }
  const page = await docs('sql');
  const fixture = new URL('../fixtures/shopping-points/migrations/V005__index_tier_id.sql', import.meta.url);
  t.deepEqual(blocks(page, 'sql'), [await readFile(fixture, 'utf8')]);
});
