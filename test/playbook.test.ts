import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { z } from 'zod';
import type { Registry } from '../src/core/drivers/driver.ts';
import type { Registries } from '../src/playbook/keys/definition.ts';
import { createEnvironment, readEnvironment } from '../src/playbook/values/environment.ts';
import { PlaybookError } from '../src/core/text/mistakes.ts';
import { parsePlaybook } from '../src/playbook/parse.ts';
import { duration, path, size, text } from '../src/util/options.ts';
import { redact } from '../src/util/redact.ts';
import { parseSize } from '../src/util/units.ts';

const driver = (name: string, shape: z.ZodRawShape, more: object = {}) => ({
  name,
  summary: `${name} of a test`,
  options: z.strictObject(shape),
  open: () => undefined,
  ...more,
});

const targets = {
  'env-file': driver(
    'env-file',
    {
      path: path(),
      variable: text().prefault('DATABASE_URL'),
      mode: z.int().optional(),
      strict: z.boolean().optional(),
    },
    { paths: ['path'] },
  ),
  proxy: driver(
    'proxy',
    { admin: text(), headers: z.record(z.string(), z.string()).optional() },
    { secrets: ['admin', 'headers'] },
  ),
  rename: driver('rename', {}, { bare: true }),
} satisfies Registry<never, unknown>;

const registries: Registries = {
  targets,
  notices: {},
  migrators: {
    sql: driver('sql', { directory: path(), timeout: duration().prefault('1m') }, { paths: ['directory'] }),
    command: driver(
      'command',
      { run: text(), directories: z.array(path()).optional() },
      { verbatim: ['run'], paths: ['directories'] },
    ),
  },
  checks: {
    schema: driver('schema', { ignore: z.array(z.string()).prefault([]) }, { bare: true }),
    checksums: driver('checksums', { largest: size().prefault('10MB') }, { bare: true }),
    either: {
      ...driver('either', {}),
      options: z.object({ value: z.union([z.string(), z.strictObject({ min: z.number() })]) }),
    },
  },
  bake: {
    sql: driver('sql', {
      query: text(),
      on: text().prefault('green'),
      'same-on-both': z.literal(true).optional(),
    }),
  },
};

const HEAD = 'version: 1\nname: shop\n';
const BLUE = 'blue: ${DATABASE_URL}\n';
const SWITCH = 'switch: { targets: [rename] }\n';
const env = { DATABASE_URL: 'postgres://app:hunter2@db:5432/shop' };

const parse = (source: string, variables: Record<string, string> = env) =>
  parsePlaybook(source, { file: 'some/playbook.yml', env: createEnvironment(variables), registries });

function mistakesOf(source: string, variables: Record<string, string> = env): PlaybookError {
  try {
    parse(source, variables);
  } catch (error) {
    if (error instanceof PlaybookError) return error;
    throw error;
  }
  throw new Error(`no mistake was found in:\n${source}`);
}

const lines = (error: PlaybookError): string[] =>
  error.mistakes.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);

test('defaults are filled, paths absolute, references kept, everything frozen', (t) => {
  const playbook = parse(
    `${HEAD}${BLUE}migrate:
  - sql: { directory: ../fixtures/\${DIR:-shop} }
  - command: { run: "echo \${HOME}", directories: [a, /b] }
switch:
  targets:
    - proxy: { admin: \${ADMIN_URL}, headers: { Authorization: "Bearer \${TOKEN}" } }
    - env-file: { path: .env, mode: \${MODE}, strict: \${STRICT} }
`,
    { ...env, ADMIN_URL: 'postgres://u:sesame1@h/pgbouncer', TOKEN: 'tttoken', MODE: '384', STRICT: 'true' },
  );
  t.deepEqual(playbook.blue, { kind: 'url', url: '${DATABASE_URL}' });
  t.is(playbook.green, undefined);
  t.deepEqual(playbook.clone, { method: 'template', strategy: 'auto', pause: 5000 });
  t.deepEqual(playbook.sync, { method: 'none', withoutIdentity: 'refuse' });
  t.deepEqual(playbook.gate, { mode: 'ask', timeout: undefined, otherwise: 'stop' });
  t.deepEqual(playbook.hooks, []);
  t.deepEqual(playbook.retries, { limit: 3, wait: 500 });
  const day = 24 * 3600 * 1000;
  t.deepEqual(playbook.limits, {
    connect: 10_000,
    lock: 10_000,
    statement: 60_000,
    steps: { clone: day, migrate: day, sync: day, verify: day },
  });
  t.is(JSON.stringify(playbook.switch.longTransactions), '{"wait":10000,"then":"refuse"}');
  t.deepEqual(playbook.expect, { renamed: {}, dropped: [], changed: [] });
  t.deepEqual(
    playbook.verify.map((use) => [use.driver, use.options]),
    [
      ['schema', { ignore: [] }],
      ['checksums', { largest: 10_000_000 }],
    ],
  );
  const base = process.cwd();
  t.is(playbook.folder, `${base}/some`);
  t.deepEqual(playbook.migrate, [
    {
      driver: 'sql',
      options: { directory: `${base}/fixtures/shop`, timeout: 60_000 },
      at: 'some/playbook.yml:5:5',
    },
    {
      driver: 'command',
      options: { run: 'echo ${HOME}', directories: [`${base}/some/a`, '/b'] },
      at: 'some/playbook.yml:6:5',
    },
  ]);
  const [proxy, file] = playbook.switch.targets;
  t.is(
    JSON.stringify(proxy?.options),
    '{"admin":"${ADMIN_URL}","headers":{"Authorization":"Bearer ${TOKEN}"}}',
  );
  t.deepEqual(file?.options, {
    path: `${base}/some/.env`,
    variable: 'DATABASE_URL',
    mode: 384,
    strict: true,
  });
  t.throws(() => (playbook.expect.dropped as string[]).push('x'), { instanceOf: TypeError });
  t.true(Object.isFrozen(proxy?.options['headers']));
  t.is(redact('sesame1 tttoken hunter2 db:5432/shop'), '*** *** *** db:5432/shop');
});

test('all mistakes at once, each at its place, with a suggestion', (t) => {
  const error = mistakesOf(`version: 2
blue: \${DATABASE_URL}
verfy:
  - schema
migrate:
  - sqll: { directory: x }
  - sql: { directory: \${NOWHERE}/x, tiemout: 5 }
gate: opne
switch:
  long-transactions: { wait: 10 }
`);
  t.deepEqual(lines(error), [
    '1:1 name: missing; write name: …, a short name for this cutover',
    '1:10 version: must be 1, the only version of playbooks so far',
    '3:1 verfy: unknown key; did you mean "verify"?',
    '6:5 migrate[0]: unknown migrator "sqll"; did you mean "sql"?',
    '7:23 migrate[1].sql.directory: NOWHERE is not set; set it in the environment or --env-file',
    '7:37 migrate[1].sql.tiemout: unknown key; did you mean "timeout"?',
    '8:7 gate: must be "ask" or "open"; did you mean "open"?',
    '9:1 switch.targets: missing; write a list of targets, as in "- env-file: { … }"',
    '10:30 switch.long-transactions.wait: a number without a unit; write 10s or 10m',
  ]);
  t.is(error.exit, 2);
  t.is(error.message, 'some/playbook.yml has 9 mistakes');
  t.true(
    error.detail?.includes(
      'some/playbook.yml:3:1  verfy: unknown key; did you mean "verify"?\n    3 | verfy:\n      | ^^^^^',
    ),
  );
});

for (const [title, source, expected] of [
  [
    'a misspelt required key is one mistake',
    `version: 1\nnmae: x\n${BLUE}${SWITCH}`,
    '2:1 nmae: unknown key; did you mean "name"?',
  ],
  [
    'a driver without its options',
    `${HEAD}${BLUE}${SWITCH}migrate: [sql]`,
    '5:11 migrate[0]: "sql" needs options; write "- sql: { … }", or its options indented under "sql:"',
  ],
  [
    'options that are not indented',
    `${HEAD}${BLUE}${SWITCH}migrate:\n  - sql:\n    directory: x`,
    '7:5 migrate[0].directory: an entry names one migrator; indent it further, so that it is an option of "sql"',
  ],
  [
    'two drivers in one entry',
    `${HEAD}${BLUE}${SWITCH}verify:\n  - schema: {}\n    checksums: {}`,
    '7:5 verify[0].checksums: an entry names one check; write it as an entry of its own: "- checksums: …"',
  ],
  [
    'no target',
    `${HEAD}${BLUE}switch: { targets: [] }`,
    '4:11 switch.targets: must name at least one target: what is pointed at green?',
  ],
  [
    'a size without a unit',
    `${HEAD}${BLUE}${SWITCH}verify: [checksums: { largest: 5 }]`,
    '5:32 verify[0].checksums.largest: a number without a unit; write 5MB or 5GB',
  ],
  [
    'a path of a home folder',
    `${HEAD}${BLUE}${SWITCH}migrate: [sql: { directory: ~/x }]`,
    '5:29 migrate[0].sql.directory: "~" is not expanded here; write the whole path, or one relative to the playbook',
  ],
  [
    'a unit that does not exist',
    `${HEAD}${BLUE}${SWITCH}migrate: [sql: { directory: x, timeout: 10 sec }]`,
    '5:41 migrate[0].sql.timeout: must be a duration such as 250ms, 10s, 5m, 1.5h or 7d',
  ],
  [
    'a kind of value that fits no branch',
    `${HEAD}${BLUE}${SWITCH}verify: [either: { value: [] }]`,
    '5:20 verify[0].either.value: must be text, or must be a map',
  ],
  [
    'inside the branch that fits',
    `${HEAD}${BLUE}${SWITCH}verify: [either: { value: { min: x } }]`,
    '5:34 verify[0].either.value.min: must be a number',
  ],
  [
    'options of a driver that is not strict',
    `${HEAD}${BLUE}${SWITCH}verify: [either: { value: x, valu: y }]`,
    '5:30 verify[0].either.valu: unknown key; did you mean "value"?',
  ],
  [
    'green on another server without sync',
    `${HEAD}${BLUE}${SWITCH}green: postgres://h/x`,
    '5:8 green: a copy on another server must follow blue; write sync: logical',
  ],
  [
    'a dump without sync',
    `${HEAD}${BLUE}${SWITCH}clone: { method: dump }`,
    '5:18 clone.method: a dump takes its time while clients write; write sync: logical besides',
  ],
  [
    'a template clone to another server',
    `${HEAD}${BLUE}${SWITCH}green: postgres://h/x\nsync: logical\nclone: { method: template }`,
    '7:18 clone.method: a template clone stays on one server; write dump, or take the line away',
  ],
  [
    'a key without a value',
    `${HEAD}${BLUE}${SWITCH}gate:\n`,
    '5:1 gate: has no value; must be "ask" or "open"',
  ],
  [
    'a name that YAML reads as a number',
    `version: 1\nname: 2024\n${BLUE}${SWITCH}`,
    '2:7 name: must be text; put it in quotes',
  ],
  [
    'a hook before a phase that a run with sync does not have',
    `${HEAD}${BLUE}${SWITCH}sync: logical\nhooks: [{ before: fence, run: x }]`,
    '6:19 hooks[0].before: there is no fence in this run: with sync, blue is fenced in the switch itself',
  ],
  [
    "green is blue's database",
    `${HEAD}${BLUE}${SWITCH}green: shop`,
    "5:8 green: is blue's own database; the copy needs a name of its own",
  ],
  [
    'a long name for green',
    `${HEAD}${BLUE}${SWITCH}green: ${'ä'.repeat(32)}`,
    '5:8 green: must be the name of a database: at most 63 bytes, no control characters',
  ],
  [
    'an object without its schema',
    `${HEAD}${BLUE}${SWITCH}expect: { dropped: [table shops] }`,
    '5:21 expect.dropped[0]: write the name with its schema, as in "public.shops" or "public.shops.tier"',
  ],
  [
    'a table renamed to a column',
    `${HEAD}${BLUE}${SWITCH}expect: { renamed: { a.b: a.b.c } }`,
    '5:27 expect.renamed["a.b"]: a table\'s new name is a table, and a column\'s is a column: write both in full',
  ],
  [
    'a malformed reference',
    `${HEAD}${BLUE}${SWITCH}migrate: [sql: { directory: "a\\\\b \${1x}" }]`,
    '5:35 migrate[0].sql.directory: write ${NAME} or ${NAME:-default}, or $${ for a plain ${',
  ],
] as const) {
  test(`one mistake: ${title}`, (t) => t.deepEqual(lines(mistakesOf(source)), [expected]));
}

for (const [url, expected] of [
  ['postgres://me:open-sesame@h/shop', /a password does not belong in a playbook; write \$\{DATABASE_URL\}/],
  ['postgres://me@h/shop?sslmode=disable&password=open-sesame', /a password does not belong/],
  ['postgres://me@h/shop?pass%77ord=open-sesame', /a password does not belong/],
  ['${NOT_SET:-postgres://me:open-sesame@h/shop}', /a password does not belong/],
  ['postgres://${USER}:${PASSWORD:-open-sesame}@h/shop', /a password does not belong/],
  ['host=h password=open-sesame', /a password does not belong/],
  ['${WRONG_URL}', /the value behind the reference is no connection string/],
  ['${NO_DATABASE_URL}', /names no database/],
  ['postgres://h:port/shop', /cannot be read as a connection string/],
  ['embeded', /did you mean "embedded"\?/],
  ['${MISSING}', /^MISSING is not set/],
] as const) {
  test(`blue is refused, and its secrets are not printed: ${url}`, (t) => {
    const variables = {
      USER: 'u',
      WRONG_URL: 'mysql://u:open-sesame@h/x',
      NO_DATABASE_URL: 'postgres://u:open-sesame@h',
    };
    const error = mistakesOf(`${HEAD}blue: ${JSON.stringify(url)}\n${SWITCH}`, variables);
    t.is(error.mistakes.length, 1);
    t.regex(error.mistakes[0]!.message, expected);
    t.false(`${error.message}${error.detail}`.includes('open-sesame'));
  });
}

test('blue may hold references to its password, a port, and a database alone', (t) => {
  for (const url of [
    'postgres://u:${PW}@h:5432/shop',
    'postgresql://h:5432/shop?application_name=a@b',
    'postgres:///shop?host=/run',
  ])
    t.deepEqual(parse(`${HEAD}blue: ${url}\n${SWITCH}`, { PW: 'xyzzy99' }).blue, { kind: 'url', url });
  t.is(redact('xyzzy99'), '***');
});

const embedded = (options: string, fixture?: unknown) =>
  parsePlaybook(`${HEAD}blue: ${options}\n${SWITCH}`, {
    file: '/p/playbook.yml',
    env: createEnvironment({}),
    registries,
    readFixture: () => {
      if (fixture === undefined) throw Object.assign(new Error('no file'), { code: 'ENOENT' });
      return fixture;
    },
  }).blue;

test('an embedded blue takes its database from the fixture', (t) => {
  t.deepEqual(embedded('embedded'), { kind: 'embedded', database: 'blue', stay: false });
  t.deepEqual(embedded('{ embedded: }'), { kind: 'embedded', database: 'blue', stay: false });
  t.deepEqual(embedded('{ embedded: { fixture: ../f, stay: true } }', { database: 'shop', more: 1 }), {
    kind: 'embedded',
    fixture: '/f',
    database: 'shop',
    stay: true,
  });
  t.like(embedded('{ embedded: { fixture: f, database: own } }', {}), { database: 'own' });
  const error = t.throws(() => embedded('{ embedded: { fixture: f } }'), { instanceOf: PlaybookError });
  t.deepEqual(lines(error), [
    '3:30 blue.embedded.fixture: no fixture.yml in "/p/f"; write the folder of a fixture, seen from the playbook',
  ]);
});

test('options that may hold secrets hold none, and mistakes do not print what is behind them', (t) => {
  const error = mistakesOf(
    `${HEAD}${BLUE}switch:
  targets:
    - proxy: { admin: "postgres://u:open-sesame@h/x" }
    - proxy: { admin: x, headers: { Authorization: Bearer-zanzibar } }
    - proxy: { admin: \${EMPTY} }
`,
    { ...env, EMPTY: '' },
  );
  t.deepEqual(
    error.mistakes.map(({ line, path }) => `${line} ${path}`),
    [
      '6 switch.targets[0].proxy.admin',
      '7 switch.targets[1].proxy.headers.Authorization',
      '8 switch.targets[2].proxy.admin',
    ],
  );
  t.notRegex(String(error.detail), /open-sesame|zanzibar/);
});

test('values of references are text: neither YAML nor looked into again; $${ is a plain ${', (t) => {
  const { migrate } = parse(
    `${HEAD}${BLUE}${SWITCH}migrate: [sql: { directory: "/\${A}/$\${A}/\${B:-d}" }]`,
    {
      ...env,
      A: '{a: ${B}}\n- x',
      B: '',
    },
  );
  t.is(migrate[0]?.options['directory'], '/{a: ${B}}\n- x/${A}/d');
});

test('the environment wins over env files, the last file over the first; only own names count', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-env-'));
  await writeFile(join(folder, 'a'), 'A=1\nB=1\nC="x y"\n');
  await writeFile(join(folder, 'b'), 'B=2\nD=4\n');
  const found = await readEnvironment([join(folder, 'a'), join(folder, 'b')], { D: 'own' });
  t.is(found.resolve('${A}${B}${C}${D}'), '12x yown');
  t.throws(() => found.resolve('${toString}'), { message: /^toString is not set/ });
  t.is(found.resolve('postgres://u:${PW:-abracadabra}@h/x'), 'postgres://u:abracadabra@h/x');
  t.is(redact('abracadabra'), '***');
  await t.throwsAsync(readEnvironment([join(folder, 'none')]), {
    message: /cannot read .*none: there is no such file/,
  });
});

test('sizes carry units', (t) => {
  t.deepEqual(
    ['1B', '2kB', '1.5MB', '1GB', '1KiB', '1MiB', '1GiB'].map(parseSize),
    [1, 2000, 1_500_000, 1e9, 1024, 1_048_576, 1_073_741_824],
  );
  t.deepEqual(
    ['1', '1mb', '1 MB', '-1B', '1KB', ''].map(parseSize),
    Array.from({ length: 6 }, () => undefined),
  );
});

test("an application's own driver in the scheme of blue is passed over", (t) => {
  const playbook = parsePlaybook(`${HEAD}blue: postgresql+psycopg2://h/shop\n${SWITCH}`, {
    file: 'p.yml',
    env: createEnvironment({}),
    registries,
  });
  t.deepEqual(playbook.blue, { kind: 'url', url: 'postgresql+psycopg2://h/shop' });
});
