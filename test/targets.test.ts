import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ava, { type ExecutionContext } from 'ava';
import { assert, constantFrom, oneof, property, string } from 'fast-check';
import type { Database, Names } from '../src/core/database/database.ts';
import { CutoverError, StepError, UsageError } from '../src/core/errors.ts';
import type { Target, TargetContext } from '../src/core/drivers/target.ts';
import { Postgres } from '../src/databases/postgres/postgres.ts';
import { databaseRename } from '../src/targets/database-rename.ts';
import { envFile } from '../src/targets/env-file.ts';
import { findVariable, replaceValue } from '../src/targets/env-file/assignment.ts';
import { targets } from '../src/targets/registry.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { targetContract } from './helpers/target-contract.ts';

const test = ava.serial;
let server: TestServer;
let folder: string;
test.before(async () => {
  server = await testServer();
  folder = await mkdtemp(join(tmpdir(), 'cutover-targets-'));
});
test.after.always(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const names: Names = { blue: 'shop', green: 'shop_green', previous: 'shop' };
const context = (more: Partial<TargetContext> = {}): TargetContext => ({
  folder,
  database: undefined as unknown as Database,
  names,
  renames: false,
  places: undefined,
  resolve: (text) => text,
  ...more,
});

type Options = Parameters<typeof envFile.open>[0];
const openEnv = (options: Partial<Options> & { path: string }, more: Partial<TargetContext> = {}): Target =>
  envFile.open(envFile.options.parse(options), context(more));

const newFolder = async (): Promise<string> => {
  const path = join(folder, randomBytes(4).toString('hex'));
  await mkdir(path);
  return path;
};

async function fileWith(content: string | Buffer): Promise<string> {
  const path = join(await newFolder(), '.env');
  await writeFile(path, content);
  return path;
}

test('every target of the registry has its docs page and is called by its own name', async (t) => {
  for (const [name, driver] of Object.entries(targets)) {
    t.is(driver.name, name);
    const page = await readFile(new URL(`../docs/targets/${name}.md`, import.meta.url), 'utf8');
    t.true(page.startsWith(`# \`${name}\``));
  }
});

// The contract, on everything there is.

const ENV_TEXT = `# The shop's settings\nexport OTHER="a b" # why\n\nDATABASE_URL=postgresql://app:p%40ss@db:5432/shop?sslmode=require # live\nLAST=1`;

targetContract(test, 'env-file', async () => {
  const path = await fileWith(ENV_TEXT);
  return {
    target: openEnv({ path }),
    state: async () =>
      `${await readFile(path, 'utf8')}\n${(await stat(path)).mode}\n${(await readdir(join(path, '..'))).join()}`,
    astray: () => writeFile(path, ENV_TEXT.replace('/shop?', '/elsewhere?')),
    again: async () => openEnv({ path }),
  };
});

targetContract(test, 'env-file with both values', async () => {
  const path = await fileWith(
    ENV_TEXT.replace('postgresql://app:p%40ss@db:5432/shop?sslmode=require', 'one'),
  );
  const options = { path, blue: 'one', green: 'it is "two"' };
  return {
    target: openEnv(options, { renames: true }),
    // A value that needs quotes brings them; the way back leaves them.
    state: async () => (await readFile(path, 'utf8')).replace("'one'", 'one'),
    astray: () => writeFile(path, ENV_TEXT),
    again: async () => openEnv(options, { renames: true }),
  };
});

targetContract(test, 'database-rename', async () => {
  const blue = await server.database();
  const green = await server.database('copy');
  const all = { blue, green, previous: `${blue}_previous` };
  const open: Postgres[] = [];
  const oids = await server.sql<{ oid: number; datname: string }>(
    `select oid::int8::float8 as oid, datname from pg_database where datname in ('${blue}', '${green}')`,
  );
  await server.sql(`alter database "${blue}" allow_connections false`);
  await server.sql(`alter database "${green}" allow_connections false`);
  const again = async (): Promise<Target> => {
    const database = new Postgres({ url: server.url(blue), run: '20261120-234205-3fa9' });
    open.push(database);
    for (const side of ['blue', 'green'] as const) {
      database.bind(side, oids.find(({ datname }) => datname === all[side])!.oid);
    }
    return databaseRename.open({}, context({ database, names: all, renames: true }));
  };
  return {
    target: await again(),
    again,
    state: async () =>
      JSON.stringify(
        await server.sql('select oid, datname, datallowconn, datacl from pg_database order by oid'),
      ),
    astray: async () => {
      await server.sql(`alter database "${blue}" rename to "${blue}_astray"`);
    },
    end: async () => {
      await Promise.all(open.map((database) => database.end()));
    },
  };
});

test('database-rename sees that the name for the previous copy is taken, and moves nothing', async (t) => {
  const blue = await server.database();
  const green = await server.database('copy');
  const database = new Postgres({ url: server.url(blue), run: 'r' });
  await database.bindByName('blue', blue);
  await database.bindByName('green', green);
  const previous = await server.database('taken');
  const target = databaseRename.open(
    {},
    context({ database, names: { blue, green, previous }, renames: true }),
  );
  const error = await t.throwsAsync(target.prepare('blue', 'green'), { instanceOf: StepError });
  t.true(error.message.includes(previous));
  await database.close(
    'blue',
    { wait: 0, then: 'end' },
    { signal: new AbortController().signal, progress: () => undefined },
  );
  await database.releaseReaders();
  await t.throwsAsync(target.switch('blue', 'green'), { instanceOf: StepError });
  t.is(await target.current(), 'blue');
  await database.end();
});

// env-file: how the variable is written

const FORMS: readonly { title: string; before: string; after: string }[] = [
  {
    title: 'bare',
    before: 'DATABASE_URL=postgres://h/shop\n',
    after: 'DATABASE_URL=postgres://h/shop_green\n',
  },
  {
    title: 'no final newline',
    before: 'A=1\nDATABASE_URL=postgres://h/shop',
    after: 'A=1\nDATABASE_URL=postgres://h/shop_green',
  },
  {
    title: 'double quotes',
    before: 'DATABASE_URL="postgres://h/shop" # c\n',
    after: 'DATABASE_URL="postgres://h/shop_green" # c\n',
  },
  {
    title: 'single quotes',
    before: "DATABASE_URL='postgres://h/shop'#c\n",
    after: "DATABASE_URL='postgres://h/shop_green'#c\n",
  },
  {
    title: 'export and blanks',
    before: '\texport  DATABASE_URL = postgres://h/shop  \n',
    after: '\texport  DATABASE_URL = postgres://h/shop_green  \n',
  },
  {
    title: 'CRLF',
    before: 'A=1\r\nDATABASE_URL=postgres://h/shop\r\nB=2\r\n',
    after: 'A=1\r\nDATABASE_URL=postgres://h/shop_green\r\nB=2\r\n',
  },
  {
    title: 'a comment of the same name',
    before: '# DATABASE_URL=postgres://h/old\nDATABASE_URL=postgres://h/shop\n',
    after: '# DATABASE_URL=postgres://h/old\nDATABASE_URL=postgres://h/shop_green\n',
  },
  {
    title: 'names that begin alike',
    before:
      'DATABASE_URL_TEST=postgres://h/shop\nMY_DATABASE_URL=postgres://h/shop\nDATABASE_URL=postgres://h/shop\n',
    after:
      'DATABASE_URL_TEST=postgres://h/shop\nMY_DATABASE_URL=postgres://h/shop\nDATABASE_URL=postgres://h/shop_green\n',
  },
  {
    title: 'values of other variables that span lines',
    before: `KEY="-----BEGIN\nDATABASE_URL=postgres://h/fake\n\\"x\n-----END"\nK2='\nDATABASE_URL=postgres://h/fake2\n'\nDATABASE_URL=postgres://h/shop\n`,
    after: `KEY="-----BEGIN\nDATABASE_URL=postgres://h/fake\n\\"x\n-----END"\nK2='\nDATABASE_URL=postgres://h/fake2\n'\nDATABASE_URL=postgres://h/shop_green\n`,
  },
  {
    title: 'an apostrophe elsewhere',
    before: "NOTE=it's\nDATABASE_URL=postgres://h/shop\nN2=it's\n",
    after: "NOTE=it's\nDATABASE_URL=postgres://h/shop_green\nN2=it's\n",
  },
  {
    title: 'a driver in the scheme',
    before: 'DATABASE_URL=postgresql+psycopg2://u:p@h:5432/shop?a=/shop#f\n',
    after: 'DATABASE_URL=postgresql+psycopg2://u:p@h:5432/shop_green?a=/shop#f\n',
  },
  {
    title: 'a socket',
    before: 'DATABASE_URL=postgresql:///shop?host=/var/run/shop\n',
    after: 'DATABASE_URL=postgresql:///shop_green?host=/var/run/shop\n',
  },
  {
    title: 'a reference without quotes',
    before: 'DATABASE_URL=postgres://u:${PW}@h/shop\n',
    after: 'DATABASE_URL=postgres://u:${PW}@h/shop_green\n',
  },
  {
    title: 'a reference in quotes',
    before: 'DATABASE_URL="postgres://u:$PW@h/shop"\n',
    after: 'DATABASE_URL="postgres://u:$PW@h/shop_green"\n',
  },
  {
    title: 'punctuation without quotes',
    before: "DATABASE_URL=postgres://u:a!b*c;d(e)'f@h/shop\n",
    after: "DATABASE_URL=postgres://u:a!b*c;d(e)'f@h/shop_green\n",
  },
  {
    title: 'an escape in quotes',
    before: 'DATABASE_URL="postgres://u:a\\"b@h/shop"\n',
    after: 'DATABASE_URL="postgres://u:a\\"b@h/shop_green"\n',
  },
  {
    title: 'letters of all countries',
    before: '# grüße \u2028DATABASE_URL=no\nDATABASE_URL=postgres://ü:ß@h/shop\n',
    after: '# grüße \u2028DATABASE_URL=no\nDATABASE_URL=postgres://ü:ß@h/shop_green\n',
  },
];

for (const { title, before, after } of FORMS) {
  test(`env-file: the database is replaced and nothing else, there and back: ${title}`, async (t) => {
    const path = await fileWith(before);
    const target = openEnv({ path });
    await target.prepare('blue', 'green');
    await target.switch('blue', 'green');
    t.is(await readFile(path, 'utf8'), after);
    await target.prepare('green', 'blue');
    await target.switch('green', 'blue');
    t.is(await readFile(path, 'utf8'), before);
    t.deepEqual(await readdir(join(path, '..')), ['.env'], 'nothing is left beside it');
  });
}

test('env-file: odd database names are found however they are written, and written percent-encoded', async (t) => {
  const odd: Names = { blue: `Odd "Shop" ñ`, green: `a&b/c?d#e+f@g%'(!*)`, previous: 'x' };
  const path = await fileWith(`DATABASE_URL='postgresql://u@h/Odd%20%22Shop%22%20%c3%b1?x=1'\n`);
  const target = openEnv({ path }, { names: odd });
  await target.switch('blue', 'green');
  const value = findVariable(await readFile(path, 'utf8'), 'DATABASE_URL').value;
  t.is(value, 'postgresql://u@h/a%26b%2Fc%3Fd%23e%2Bf%40g%25%27%28%21%2A%29?x=1');
  t.is(await target.current(), 'green');
  await target.switch('green', 'blue');
  t.is(await target.current(), 'blue');
});

// env-file: the file

test('env-file: mode and owner stay, and behind a link the file is replaced', async (t) => {
  const path = await fileWith('DATABASE_URL=postgres://h/shop\n');
  await chmod(path, 0o662);
  if (process.getuid?.() === 0) await chown(path, 65534, 65534);
  const before = await stat(path);
  const link = join(await newFolder(), 'link.env');
  await symlink(path, link);
  const target = openEnv({ path: link });
  await target.prepare('blue', 'green');
  await target.switch('blue', 'green');
  const after = await stat(path);
  t.deepEqual([after.mode, after.uid, after.gid], [before.mode, before.uid, before.gid]);
  t.true((await lstat(link)).isSymbolicLink());
  t.is(await readlink(link), path);
  t.is(await readFile(path, 'utf8'), 'DATABASE_URL=postgres://h/shop_green\n');
});

test('env-file: a variable that is missing, there twice, or in a file that is missing is an error that says so', async (t) => {
  for (const [content, words] of [
    ['OTHER=1\n', /not in the file/],
    ['DATABASE_URL=postgres://h/shop\nexport DATABASE_URL=postgres://h/shop\n', /2 times/],
    ['', /not in the file/],
    [Buffer.from('DATABASE_URL=postgres://h/shop # f\xfcr alle\n', 'latin1'), /not UTF-8/],
  ] as const) {
    const path = await fileWith(content);
    const before = await readFile(path);
    const target = openEnv({ path });
    for (const attempt of [
      () => target.current(),
      () => target.prepare('blue', 'green'),
      () => target.switch('blue', 'green'),
    ]) {
      const error = await t.throwsAsync(attempt, { instanceOf: StepError, message: words });
      t.is(error.where, path);
    }
    t.deepEqual(await readFile(path), before);
  }
  await t.throwsAsync(openEnv({ path: join(folder, 'nowhere') }).prepare('blue', 'green'), {
    message: /there is no such file/,
  });
});

test('env-file: a file that was changed between preparing and switching is left alone; other lines may change', async (t) => {
  const path = await fileWith('A=1\nDATABASE_URL=postgres://h/shop\n');
  const target = openEnv({ path });
  await target.prepare('blue', 'green');
  await writeFile(path, 'A=1\nDATABASE_URL=postgres://h/third\n');
  await t.throwsAsync(target.switch('blue', 'green'), {
    instanceOf: StepError,
    message: /names database third, expected database shop/,
  });
  t.is(await readFile(path, 'utf8'), 'A=1\nDATABASE_URL=postgres://h/third\n');
  await writeFile(path, 'A=2\nDATABASE_URL=postgres://h/shop\n');
  await target.switch('blue', 'green');
  t.is(await readFile(path, 'utf8'), 'A=2\nDATABASE_URL=postgres://h/shop_green\n');
});

test('env-file: a file or a folder that cannot be written is found by preparing', async (t) => {
  const path = await fileWith('DATABASE_URL=postgres://h/shop\n');
  for (const what of [path, join(path, '..')]) {
    try {
      execFileSync('chattr', ['+i', what], { stdio: 'pipe' });
    } catch (error) {
      t.log(`SKIPPED: this file system cannot make ${what} immutable: ${String(error)}`);
      return t.pass();
    }
    try {
      const error = await t.throwsAsync(openEnv({ path }).prepare('blue', 'green'), {
        instanceOf: StepError,
      });
      t.true(error.message.startsWith(`${what} cannot be written`), error.message);
    } finally {
      execFileSync('chattr', ['-i', what]);
    }
  }
});

/** Prepares and then switches as another user; gives what was thrown. */
function asNobody(path: string, method: 'prepare' | 'switch'): string {
  const script = `
    const { envFile } = await import(${JSON.stringify(new URL('../src/targets/env-file.ts', import.meta.url).href)});
    const context = { names: ${JSON.stringify(names)}, renames: false, resolve: (text) => text };
    const target = envFile.open(envFile.options.parse({ path: ${JSON.stringify(path)} }), context);
    await target[${JSON.stringify(method)}]('blue', 'green').then(() => console.log('done'), (error) => console.log(error.message));`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    uid: 65534,
    gid: 65534,
    cwd: '/',
    encoding: 'utf8',
  });
  return child.stdout.trim() + child.stderr;
}

test('env-file: an ordinary user learns beforehand that a file is not theirs to replace', async (t) => {
  if (process.getuid?.() !== 0) return t.pass('needs root to change users');
  const path = await fileWith('DATABASE_URL=postgres://h/shop\n');
  await chmod(folder, 0o755);
  await chmod(path, 0o644);
  t.regex(asNobody(path, 'prepare'), /cannot be written.*EACCES/);
  // May write to it, but a replaced file would be another owner's.
  await chmod(path, 0o666);
  await chmod(join(path, '..'), 0o777);
  t.regex(asNobody(path, 'prepare'), /belongs to user 0/);
  t.not(asNobody(path, 'switch'), 'done');
  t.is(await readFile(path, 'utf8'), 'DATABASE_URL=postgres://h/shop\n');
  t.deepEqual(await readdir(join(path, '..')), ['.env']);
  await chown(path, 65534, 65534);
  t.is(asNobody(path, 'prepare'), 'done');
  t.is(asNobody(path, 'switch'), 'done');
  t.is((await stat(path)).uid, 65534);
});

// env-file: values and secrets

const resolve = (text: string): string => text.replace('${SECRET}', `hunter2 'x'`);

test('env-file: whole values are written as they are, or refused by preparing when they do not fit the quotes', async (t) => {
  const path = await fileWith(`A=1\nURL="host=a dbname=b"\n`);
  const target = openEnv(
    { path, variable: 'URL', blue: 'host=a dbname=b', green: 'host=c password=${SECRET}' },
    { resolve },
  );
  await target.switch('blue', 'green');
  t.is(await readFile(path, 'utf8'), `A=1\nURL="host=c password=hunter2 'x'"\n`);
  t.is(await target.current(), 'green');

  for (const [quote, value] of [
    ['"', 'say "x"'],
    ["'", "it's"],
    ['', `it's "both" `],
  ] as const) {
    const unfit = await fileWith(`URL=${quote}one${quote}\n`);
    const other = openEnv({ path: unfit, variable: 'URL', blue: 'one', green: value });
    await t.throwsAsync(other.prepare('blue', 'green'), {
      instanceOf: StepError,
      message: /cannot be written/,
    });
    await t.throwsAsync(other.switch('blue', 'green'), { instanceOf: StepError });
    t.is(await readFile(unfit, 'utf8'), `URL=${quote}one${quote}\n`);
  }
});

test('env-file: the password stays in the file, and shows in no message and no description', async (t) => {
  for (const password of ['hunter2', 'hunter2/x', 'hun?ter2', 'hunter2#', 'p:hunter2']) {
    const path = await fileWith(`DATABASE_URL=postgresql://app:${password}@db/another\n`);
    const target = openEnv({ path });
    const described = JSON.stringify(target.describe());
    for (const attempt of [() => target.prepare('blue', 'green'), () => target.switch('blue', 'green')]) {
      const error: CutoverError = await t.throwsAsync(attempt, { instanceOf: CutoverError });
      const all = `${described} ${error.message} ${error.hint} ${error.detail} ${error.where} ${error.stack}`;
      t.false(/hun|ter2/.test(all), all);
    }
  }
  const values = { blue: 'postgresql://app:hunter2@db/a', green: 'postgresql://app:hunter2@db/b' };
  const path = await fileWith('DATABASE_URL=postgresql://app:hunter2@db/c\n');
  const target = openEnv({ path, ...values });
  const error = await t.throwsAsync(target.prepare('blue', 'green'));
  t.false(`${JSON.stringify(target.describe())}${error.message}`.includes('hunter2'));
});

test('env-file: beside database-rename it must be given its two values', (t) => {
  const error = t.throws(() => openEnv({ path: '/x' }, { renames: true }), { instanceOf: UsageError });
  t.true(error.message.includes('would not change'));
  t.notThrows(() => openEnv({ path: '/x', blue: 'a', green: 'b' }, { renames: true }));
  for (const options of [
    { blue: 'a' },
    { green: 'a' },
    { blue: 'a', green: 'a' },
    { variable: 'A B' },
    { variable: '1A' },
  ]) {
    t.false(envFile.options.safeParse({ path: '/x', ...options }).success, JSON.stringify(options));
  }
});

// Properties of assignments

const anyText = string({
  unit: oneof(
    constantFrom('\n', '\r\n', '=', '"', "'", '\\', '#', ' ', '\t', 'A', 'B', 'export ', '$', '\u2028'),
    string({ unit: 'binary', maxLength: 1 }),
  ),
});
const anyValue = anyText.filter((text) => !/[\r\n]/.test(text));

function tryTo<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

test('a value that was replaced is read back, and everything around it is the same', (t: ExecutionContext) => {
  let replaced = 0;
  assert(
    property(anyText, anyValue, anyText, anyValue, (before, value, after, next) => {
      const text = `${before}\nA=${value}\n${after}`;
      const found = tryTo(() => findVariable(text, 'A'));
      const changed = found && tryTo(() => replaceValue(text, found, next));
      if (found === undefined || changed === undefined) return;
      replaced += 1;
      const again = findVariable(changed, 'A');
      if (again.value !== next) throw new Error(`read back as ${JSON.stringify(again.value)}`);
      const [head, tail] = [text.slice(0, found.start), text.slice(found.end)];
      const [bare, quoted] = [next, `'${next}'`].map((middle) => head + middle + tail === changed);
      if (!bare && !quoted) throw new Error('something else was changed');
    }),
    { numRuns: 20_000, examples: [["export ='", '', '', '#']] },
  );
  t.true(replaced > 2000, `${replaced} replaced`);
});

test('whatever the file holds, looking for a variable never takes long', (t) => {
  const started = Date.now();
  for (const text of [
    'A="'.repeat(3000),
    "A='\n".repeat(3000),
    `A=${' '.repeat(20_000)}x`,
    'export '.repeat(5000),
    'A="\\'.repeat(3000),
  ])
    tryTo(() => findVariable(text, 'B'));
  t.true(Date.now() - started < 3000, `${Date.now() - started} ms`);
});
