import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import * as fc from 'fast-check';
import { z } from 'zod';
import type { Registries } from '../src/playbook/keys/definition.ts';
import { createEnvironment, readEnvironment } from '../src/playbook/values/environment.ts';
import { PlaybookError } from '../src/core/text/mistakes.ts';
import { parsePlaybook } from '../src/playbook/parse.ts';
import { readLimited } from '../src/core/text/read.ts';

const driver = (name: string, options: z.ZodType, more: object = {}) => ({
  name,
  summary: name,
  options,
  open: () => undefined,
  ...more,
});
const registries: Registries = {
  targets: { rename: driver('rename', z.strictObject({}), { bare: true }) },
  migrators: { sql: driver('sql', z.strictObject({ directory: z.string() }), { paths: ['directory'] }) },
  checks: {},
  bake: {},
  notices: {},
};
const env = createEnvironment({ DATABASE_URL: 'postgres://h/shop' });
const parse = (source: string) => parsePlaybook(source, { file: 'p.yml', env, registries });
const GOOD = 'version: 1\nname: shop\nblue: ${DATABASE_URL}\nswitch:\n  targets:\n    - rename\n';

function refused(source: string): PlaybookError {
  const started = performance.now();
  try {
    parse(source);
  } catch (error) {
    if (!(error instanceof PlaybookError)) throw error;
    const ms = performance.now() - started;
    if (ms > 5000) throw new Error(`took ${ms} ms`, { cause: error });
    return error;
  }
  throw new Error('was accepted');
}

const bomb = 'bcdefghij'
  .split('')
  .reduce(
    (text, name, index) =>
      `${text}${name}: &${name} [${Array(10).fill(`*${'abcdefghij'[index]}`).join(',')}]\n`,
    'a: &a [x,x,x,x,x,x,x,x,x,x]\n',
  );
const MB = 999_999;

for (const [title, source, expected] of [
  ['100,000 brackets', '['.repeat(100_000), /more than 50000 words|nested more than/],
  ['40,000 brackets', `${GOOD}x: ${'['.repeat(40_000)}`, /nested more than 40 levels/],
  ['40,000 dashes', '- '.repeat(15_000), /nested more than 40 levels/],
  ['explicit keys without end', '? '.repeat(15_000), /nested more than 40 levels/],
  [
    'nested by indentation',
    Array.from({ length: 1300 }, (_, i) => `${' '.repeat(i)}a:\n`).join(''),
    /nested more than 40 levels/,
  ],
  ['a bomb of aliases', bomb, /more than 20000 values, aliases included/],
  [
    'levels hidden in aliases',
    `a: &a0 [x]\n${Array.from({ length: 90 }, (_, i) => `k${i}: &a${i + 1} [*a${i}]\n`).join('')}`,
    /more than 40 levels, aliases included/,
  ],
  ['an alias to itself', 'a: &a [*a]', /"\*a" refers to no anchor that ends before it/],
  ['an alias to nothing', 'a: *nothing', /refers to no anchor/],
  ['a list of many', '- a\n'.repeat(240_000), /more than 50000 words/],
  ['many documents', '---\na\n'.repeat(160_000), /more than 50000 words/],
  ['two documents', `${GOOD}---\n${GOOD}`, /a second document begins here/],
  ['nothing but quotes', '"'.repeat(MB), /more than 50000 words/],
  ['bad escapes', `a: "${'\\x'.repeat(MB / 2 - 10)}"`, /longer than 20000 characters/],
  [
    'many bad escapes',
    Array.from({ length: 45 }, (_, i) => `k${i}: "${'\\x'.repeat(9900)}"\n`).join(''),
    /not valid YAML/,
  ],
  ['one long line', 'a'.repeat(MB), /longer than 20000 characters/],
  ['a long key', `${GOOD}${'k'.repeat(900)}: 1`, /unknown key; known here/],
  ['many references', `${GOOD}green: "${'${x'.repeat(6000)}"`, /write \$\{NAME\}/],
  ['many schemes', GOOD.replace('${DATABASE_URL}', `"${'://a:'.repeat(3900)}"`), /no connection string/],
  ['the same key twice', `${GOOD}name: other`, /^the same key stands here twice$/],
  [
    'an unknown tag',
    `${GOOD}gate: !!js/function 'x'`,
    /the tag "tag:yaml.org,2002:js\/function" is not supported/,
  ],
  ['a binary tag', `${GOOD}gate: !!binary YXNr`, /the tag ".*binary" is not supported/],
  ['a set', `${GOOD}expect: !!set { a }`, /the tag ".*set" is not supported/],
  ['a map as a key', `${GOOD}? [a, b]\n: c`, /a key must be plain text/],
  ['merge keys', `${GOOD}<<: { gate: ask }`, /unknown key/],
  ['nothing', '', /the playbook is empty/],
  ['a comment alone', '# hello\n', /the playbook is empty/],
  ['a lone dash line', '---\n', /the playbook is empty/],
  ['a list', '- version: 1\n', /a playbook is a map/],
  ['a word', 'hello', /a playbook is a map/],
  ['NUL', `${GOOD}\0`, /U\+0000 does not belong in a text file/],
  ['terminal codes', `${GOOD}# \x1b[2J`, /U\+001B does not belong/],
  ['tabs for indentation', 'version: 1\nswitch:\n\ttargets: []\n', /not valid YAML: .*[Tt]ab/],
] as const) {
  test(`is refused in time: ${title}`, (t) => {
    const error = refused(source);
    t.regex(error.mistakes.map((mistake) => mistake.message).join('\n'), new RegExp(expected.source, 'm'));
    t.true((error.detail ?? '').length < 40_000);
    t.notRegex((error.detail ?? '').replaceAll('\n', ''), /\p{Cc}/u);
  });
}

for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'then']) {
  test(`${name} is nothing but an unknown word`, (t) => {
    const error = refused(
      GOOD.replace(
        '- rename',
        `- rename\n    - ${name}\n    - ${name}: { a: 1 }\n    - rename: { ${name}: 1 }`,
      ) +
        `${name}: { polluted: 1 }\nexpect: { ${name}: 1, renamed: { ${name}: x.y } }\nmigrate: [{ ${name}: }]\n`,
    );
    t.deepEqual(
      error.mistakes.map(({ message }) => message.replace(/; .*/, '')),
      [
        `unknown target "${name}"`,
        `unknown target "${name}"`,
        'unknown key',
        'unknown key',
        'unknown key',
        name === '__proto__'
          ? 'unknown key'
          : 'write the name with its schema, as in "public.shops" or "public.shops.tier"',
        `unknown migrator "${name}"`,
      ],
    );
    t.is(({} as { polluted?: unknown }).polluted, undefined);
  });
}

test('syntax errors are all of yaml’s, and nothing is said about the rest', (t) => {
  const error = refused('version: 3\na: "\\q"\nb: "\\q"\nc: [\n');
  t.true(error.mistakes.length >= 3);
  t.true(error.mistakes.every(({ message }) => message.startsWith('not valid YAML')));
});

test('carriage returns, a byte order mark, anchors and a marker at the top are fine', (t) => {
  const plain = parse(`# hello\n${GOOD}`);
  const { sha256: _, ...rest } = parse(`\uFEFF---\r\n${GOOD.replaceAll('\n', '\r\n')}`);
  t.like(plain, rest);
  const shared = parse(`${GOOD}migrate: [sql: &o { directory: a }, sql: *o]`);
  t.deepEqual(shared.migrate[0]?.options, shared.migrate[1]?.options);
  t.like(refused(`\uFEFFversion: 2\n${GOOD.slice(11)}`).mistakes[0], { line: 1, column: 10 });
  const { mistakes } = refused(`\uFEFFversion: 1\r\nname: x y\r\n`);
  t.like(
    mistakes.find(({ path }) => path === 'name'),
    { line: 2, column: 7, excerpt: '    2 | name: x y\n      |       ^^^' },
  );
});

test('files: too large, binary, UTF-16, missing, a folder, without end', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-playbook-'));
  const file = async (name: string, content: string | Buffer) => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };
  const expect = async (path: string, message: RegExp) => {
    const error = await t.throwsAsync(readLimited(path));
    t.regex(`${error?.message} ${error instanceof PlaybookError ? error.detail : ''}`, message);
    t.is((error as { exit?: number }).exit, 2);
  };
  await expect(await file('large', 'a'.repeat(1_000_001)), /larger than 1 MB/);
  await expect(await file('utf16', Buffer.from('\uFEFFversion: 1', 'utf16le')), /not UTF-8 text but UTF-16/);
  await expect(await file('binary', Buffer.from('a: 1\nb: \xff\xfe', 'latin1')), /:2:4 {2}not UTF-8/);
  await expect('/dev/zero', /larger than 1 MB/);
  await expect(folder, /it is a folder/);
  await expect(join(folder, 'none'), /there is no such file/);
  const env = await t.throwsAsync(
    readEnvironment([await file('env', Buffer.from('PW=open-sesame\xff', 'latin1'))]),
  );
  t.false(`${env?.message}${(env as PlaybookError).detail}`.includes('sesame'));
  t.is(await readLimited(await file('good', `\uFEFF${GOOD}`)), `\uFEFF${GOOD}`);
});

const mutated = fc
  .array(
    fc.tuple(
      fc.nat(GOOD.length),
      fc.nat(3),
      fc.string({ unit: fc.constantFrom(...'[]{}:-?,&*!|>"\'#%@` \n\t$ax0<'.split('')), maxLength: 6 }),
    ),
    {
      minLength: 1,
      maxLength: 5,
    },
  )
  .map((edits) =>
    edits.reduce((text, [at, drop, put]) => text.slice(0, at) + put + text.slice(at + drop), GOOD),
  );

test('whatever is written, it is a frozen playbook or a list of mistakes with their places', (t) => {
  const examined = fc.property(fc.oneof(mutated, fc.string({ unit: 'binary', maxLength: 60 })), (source) => {
    try {
      return Object.isFrozen(parse(source));
    } catch (error) {
      if (!(error instanceof PlaybookError)) throw error;
      return error.mistakes.length > 0 && error.mistakes.every(({ line, column }) => line > 0 && column > 0);
    }
  });
  t.notThrows(() => fc.assert(examined, { numRuns: 3000 }));
});
