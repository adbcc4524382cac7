import { execFile, spawn } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { satisfies } from '../src/util/node-version.ts';
import { commands } from '../src/commands/registry.ts';
import { cli, root, workplace, type Outcome, type Workplace } from './helpers/cli.ts';
import { dump } from './helpers/dump.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

// oxlint-disable-next-line no-control-regex -- a colour is a control sequence
const COLOUR = /\u001B\[/;
const STACK = /\n {4}at /;

// What the many short processes compile is the same each time.
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'cutover-test-compile-cache');

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

async function shop(
  t: ExecutionContext,
): Promise<{ work: Workplace; name: string; env: Record<string, string> }> {
  const work = await workplace(t);
  const name = await server.database('shop');
  await server.sql('create table shops as select 1 as id', name);
  await playbook(work, name);
  return { work, name, env: { DATABASE_URL: server.url(name) } };
}

const playbook = (work: Workplace, name: string, more = ''): Promise<string> =>
  work.file(
    'playbook.yml',
    `version: 1\nname: shop\nblue: \${DATABASE_URL}\ngreen: ${name}_green\nswitch: { targets: [database-rename] }\n${more}`,
  );

/** A run that failed before anything was touched leaves a journal: runs to look at, quickly made. */
async function refusedRun(
  { work, env }: Awaited<ReturnType<typeof shop>>,
  ...more: string[]
): Promise<string> {
  const { err } = await work.cutover(['run', 'playbook.yml', '--yes', ...more], env);
  return /run (\d{8}-\d{6}-\w{6})/.exec(err)![1]!;
}

/** In a shell, with whatever it does to standard input and output. */
const shell = (work: Workplace, line: string, env: Record<string, string> = {}): Promise<Outcome> =>
  new Promise((resolve) => {
    const child = spawn('/bin/bash', ['-c', line], {
      cwd: work.folder,
      env: { PATH: process.env['PATH'] ?? '', CUTOVER: `${process.execPath} ${cli}`, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.once('close', (code, signal) => resolve({ code, signal, out, err }));
  });

test('every command has help, which ends with 0 and names its arguments and options', async (t) => {
  const work = await workplace(t);
  const whole = await work.cutover(['--help']);
  t.is(whole.code, 0);
  t.is(whole.err, '');
  for (const { name, options = [], arguments: args = [] } of commands) {
    t.true(whole.out.includes(`  ${name} `), name);
    const { code, out, err } = await work.cutover([name, '--help']);
    t.is(code, 0, name);
    t.is(err, '');
    for (const { flags } of options) t.true(out.includes(flags), `${name} ${flags}`);
    for (const argument of args) t.true(out.includes(argument.name), `${name} ${argument.name}`);
  }
  const version = await work.cutover(['--version']);
  t.is(version.code, 0);
  t.regex(version.out, /^\d+\.\d+\.\d+\n$/);
});

const flagsIn = (section: string): string[] =>
  [...section.matchAll(/^\| `(-[^`]+)` \|/gm)].map((match) => match[1]!);

test('docs/commands.md has every command, with the options that there are and no others', (t) => {
  const text = readFileSync(join(root, 'docs/commands.md'), 'utf8');
  const [head = '', ...sections] = text.split(/^## /m);
  t.deepEqual(flagsIn(head), [
    '--state <place>',
    '--env-file <file>',
    '--tools <dir>',
    '--no-color',
    '--help',
    '--version',
  ]);
  const titles = sections.map((section) => /^`([^`]+)`/.exec(section)?.[1]);
  t.deepEqual(
    titles,
    commands.map(({ name, arguments: args = [] }) => [name, ...args.map((each) => each.name)].join(' ')),
  );
  for (const [index, { name, options = [] }] of commands.entries()) {
    const section = sections[index]!;
    t.deepEqual(
      flagsIn(section),
      options.map(({ flags }) => flags),
      name,
    );
    t.regex(section, /^Ends with: 0/m, name);
    t.regex(section, new RegExp(`^\`\`\`sh\\ncutover ${name}\\b`, 'm'), name);
  }
});

test('wrong words end with 2, say what was meant, and go to standard error', async (t) => {
  const work = await workplace(t);
  const cases: [string[], RegExp][] = [
    [['rnu'], /unknown command 'rnu'[^]*Did you mean run/],
    [['swapback'], /Did you mean swap-back/],
    [['run', 'x.yml', '--yess'], /unknown option '--yess'[^]*Did you mean --yes/],
    [['--sate', 'x', 'runs'], /Did you mean --state/],
    [['run'], /missing required argument 'playbook'/],
    [['validate', 'a.yml', 'b.yml'], /too many arguments/],
    [['retire', '--confirm'], /argument missing/],
    [[], /Usage: cutover/],
    [['migrate', 'sideways', '-d', '.'], /status, up or down/],
    [['migrate', 'up'], /folder with the migrations is missing/],
  ];
  for (const [args, says] of cases) {
    const { code, out, err } = await work.cutover(args, { DATABASE_URL: server.url() });
    t.is(code, 2, `${args.join(' ')}\n${err}`);
    t.is(out, '');
    t.regex(err, says);
    t.notRegex(err, STACK);
  }
});

test('a connection string given by mistake is not repeated with its password', async (t) => {
  const work = await workplace(t);
  const url = 'postgresql://shop:hunter2hunter@db.example/shop';
  for (const args of [[url], ['run', url], ['migrate', url, '-d', '.'], ['status', url]]) {
    const { code, out, err } = await work.cutover(args, { DATABASE_URL: server.url() });
    t.is(code, 2, err);
    t.notRegex(out + err, /hunter2hunter/, args[0]);
  }
});

test('validate: a missing file, a valid playbook, and seven mistakes, each with its place and a caret', async (t) => {
  const { work, env } = await shop(t);
  const missing = await work.cutover(['validate', 'no.yml']);
  t.is(missing.code, 2);
  t.regex(missing.err, /no\.yml/);
  t.notRegex(missing.err, STACK);
  const valid = await work.cutover(['validate', 'playbook.yml'], env);
  t.is(valid.code, 0, valid.err);
  await work.file(
    'wrong.yml',
    `version: 2
name: "a shop"
blue: postgresql://shop:secret-word@db/shop
green: postgresql://shop:other-word@elsewhere/shop
clne: { method: template }
sync: sometimes
gate: maybe
switch: { targets: [database-rename] }
`,
  );
  const { code, out, err } = await work.cutover(['validate', 'wrong.yml']);
  t.is(code, 2);
  t.is(out, '');
  t.regex(err, /wrong\.yml has 7 mistakes/);
  const places = [...err.matchAll(/wrong\.yml:(\d+):(\d+) {2}.*\n +\d+ \| .*\n +\| +\^/g)].map(
    (match) => match[1],
  );
  t.deepEqual(places, ['1', '2', '3', '4', '5', '6', '7']);
  t.regex(err, /clone/);
  t.notRegex(err, /secret-word|other-word/);
});

test('an empty folder has no runs, and is left empty', async (t) => {
  const work = await workplace(t);
  const runs = await work.cutover(['runs']);
  t.is(runs.code, 0, runs.err);
  t.regex(runs.out, /no runs yet/);
  t.is((await work.cutover(['runs', '--json'])).out.trim(), '[]');
  for (const name of ['status', 'swap-back', 'retire', 'abort']) {
    const { code, err, out } = await work.cutover([name]);
    t.is(code, 2, err);
    t.is(out, '');
    t.regex(err, /no runs yet/);
  }
  t.false(existsSync(join(work.folder, '.cutover')));
});

test('a run is named by the beginning of its id, --state looks elsewhere, a torn start is no run', async (t) => {
  const subject = await shop(t);
  const { work, name, env } = subject;
  // Refused by the preflight: the copy's name is taken.
  await server.sql(`create database ${name}_green`);
  const first = await refusedRun(subject);
  const second = await refusedRun(subject);
  const elsewhere = await refusedRun(subject, '--state', 'else/where');
  const latest = await work.cutover(['status', '--json']);
  t.is((JSON.parse(latest.out) as { run: string }).run, second);
  t.is(latest.err, '');
  t.regex((await work.cutover(['status', first.slice(0, -1)])).out, new RegExp(`Run ${first}`));
  const ambiguous = await work.cutover(['status', first.slice(0, 8)]);
  t.is(ambiguous.code, 2);
  t.regex(ambiguous.err, /beginning of 2 runs/);
  t.regex((await work.cutover(['--state', 'else/where', 'status'])).out, new RegExp(elsewhere));
  t.deepEqual(
    (JSON.parse((await work.cutover(['runs', '--json'])).out) as { run: string }[]).map(({ run }) => run),
    [first, second],
  );
  t.is((await work.cutover(['abort', first], env)).code, 3);

  const torn = '29990101-000000-0000';
  mkdirSync(join(work.folder, '.cutover/runs', torn));
  writeFileSync(join(work.folder, '.cutover/runs', torn, 'journal.jsonl'), '');
  const status = await work.cutover(['status']);
  t.is(status.code, 0, status.err);
  t.regex(status.out, new RegExp(second));
  const named = await work.cutover(['status', torn]);
  t.is(named.code, 2, named.err);
  t.notRegex(named.err, STACK);
});

test('a state folder that cannot be written refuses the run before anything is touched', async (t) => {
  const { work, name, env } = await shop(t);
  const before = await dump(server, name);
  await work.file('file', '');
  mkdirSync(join(work.folder, 'readonly'));
  chmodSync(join(work.folder, 'readonly'), 0o555);
  // Permissions do not stop root; the kernel's own file systems do.
  const readonly = process.getuid?.() === 0 ? '/sys/cutover' : 'readonly';
  for (const state of ['file', readonly]) {
    const { code, err } = await work.cutover(['run', 'playbook.yml', '--yes', '--state', state], env);
    t.is(code, 3, err);
    t.regex(err, /cannot make the journal[^]*--state/);
    t.notRegex(err, STACK);
  }
  t.deepEqual(await dump(server, name), before);
  const runs = await work.cutover(['runs', '--state', 'file']);
  t.is(runs.code, 2, runs.err);
  t.notRegex(runs.err, STACK);
});

test('--env-file: before or after the command, several, the last one wins, the environment over all', async (t) => {
  const { work, name, env } = await shop(t);
  await work.file('a.env', 'DATABASE_URL=postgresql://nobody@127.0.0.1:1/nothing\n');
  await work.file('b.env', `DATABASE_URL=${env['DATABASE_URL']}\n`);
  const planned = async (args: string[], more = {}): Promise<number | null> => {
    const { code, out, err } = await work.cutover(args, more);
    if (code === 0) t.regex(out, new RegExp(name), err);
    return code;
  };
  t.is(await planned(['plan', 'playbook.yml', '--env-file', 'a.env', '--env-file', 'b.env']), 0);
  t.is(await planned(['plan', '--env-file', 'b.env', 'playbook.yml']), 0);
  t.is(await planned(['--env-file', 'a.env', '--env-file', 'b.env', 'plan', 'playbook.yml']), 0);
  t.is(await planned(['plan', 'playbook.yml', '--env-file', 'b.env', '--env-file', 'a.env']), 3);
  t.is(await planned(['plan', 'playbook.yml', '--env-file', 'a.env'], env), 0);
  const missing = await work.cutover(['plan', 'playbook.yml', '--env-file', 'no.env']);
  // Node itself looks at every --env-file on its command line, and ends with 9 before the tool begins.
  t.true([2, 9].includes(missing.code!));
  t.regex(missing.err, /no\.env/);
});

test('colours: none in a pipe, with NO_COLOR or --no-color, and there with FORCE_COLOR', async (t) => {
  const { work, env } = await shop(t);
  const coloured = async (args: string[], more: Record<string, string>): Promise<boolean> => {
    const { code, out } = await work.cutover(['plan', 'playbook.yml', ...args], { ...env, ...more });
    t.is(code, 0);
    return COLOUR.test(out);
  };
  t.false(await coloured([], {}));
  t.true(await coloured([], { FORCE_COLOR: '1' }));
  t.false(await coloured([], { FORCE_COLOR: '0' }));
  t.false(await coloured([], { FORCE_COLOR: '1', NO_COLOR: '1' }));
  t.false(await coloured(['--no-color'], { FORCE_COLOR: '1' }));
  t.true(await coloured([], { FORCE_COLOR: '1', NO_COLOR: '' }));
});

test('a pipe that nobody reads any more is no error', async (t) => {
  const { work, env } = await shop(t);
  for (const words of ['runs', 'plan playbook.yml', '--help']) {
    const { err, out } = await shell(
      work,
      `set -o pipefail; $CUTOVER ${words} | head -c 0; echo "\${PIPESTATUS[0]}"`,
      env,
    );
    t.is(out.trim(), '0', `${words}\n${err}`);
    t.is(err, '');
  }
  const run = await shell(
    work,
    '$CUTOVER run playbook.yml --yes 2>&1 | head -c 0; echo "${PIPESTATUS[0]}"',
    env,
  );
  t.is(run.out.trim(), '0', 'a run goes on to its end');
  t.regex((await work.cutover(['status'])).out, /completed/);
});

test('without a terminal nothing is approved, whatever standard input says', async (t) => {
  const { work, name, env } = await shop(t);
  const before = await dump(server, name);
  await work.file('yes', 'y\n'.repeat(100));
  for (const line of [
    'echo y | $CUTOVER run playbook.yml',
    'yes | $CUTOVER run playbook.yml',
    '$CUTOVER run playbook.yml < yes',
    '$CUTOVER run playbook.yml <&-',
    'CI=true $CUTOVER run playbook.yml < yes',
  ]) {
    const { code, err } = await shell(work, line, env);
    t.is(code, 3, `${line}\n${err}`);
    t.regex(err, /no terminal to ask at[^]*--yes/);
  }
  t.deepEqual(await dump(server, name), before);
  t.false(existsSync(join(work.folder, '.cutover')));

  t.is((await work.cutover(['run', 'playbook.yml', '--yes'], env)).code, 0);
  for (const line of ['echo y | $CUTOVER swap-back', `echo ${name}_previous | $CUTOVER retire`]) {
    const { code, err } = await shell(work, line, env);
    t.is(code, 3, `${line}\n${err}`);
  }
  const [row] = await server.sql(`select datname from pg_database where datname = '${name}_previous'`);
  t.truthy(row);
});

test('words go to standard error, data to standard output', async (t) => {
  const { work, env } = await shop(t);
  const valid = await work.cutover(['validate', 'playbook.yml'], env);
  t.is(valid.out, '');
  const run = await work.cutover(['run', 'playbook.yml', '--yes'], env);
  t.is(run.out, '');
  t.regex(run.err, /completed/);
  for (const args of [['status'], ['runs'], ['status', '--json'], ['runs', '--json']]) {
    const { code, out, err } = await work.cutover(args);
    t.is(code, 0);
    t.is(err, '');
    t.true(out.length > 0);
    if (args.length > 1) t.notThrows(() => void JSON.parse(out));
  }
  const unreachable = await work.cutover(['plan', 'playbook.yml'], {
    DATABASE_URL: 'postgresql://shop@127.0.0.1:1/shop',
  });
  t.is(unreachable.code, 3);
  t.is(unreachable.out, '');
  t.notRegex(unreachable.err, STACK);
});

test('migrate: status, up and down on the database of a variable, never of an argument', async (t) => {
  const { work, env } = await shop(t);
  const url = env['DATABASE_URL']!;
  mkdirSync(join(work.folder, 'm'));
  for (const version of [1, 2, 3]) {
    await work.file(`m/V${version}__t${version}.sql`, `create table t${version} (id int);`);
    await work.file(`m/V${version}__t${version}.down.sql`, `drop table t${version};`);
  }
  await work.file('db.env', `SHOP_URL=${url}\n`);
  const migrate = async (args: string[], more: Record<string, string> = env): Promise<unknown> => {
    const { code, out, err } = await work.cutover(['migrate', ...args, '-d', 'm', '--json'], more);
    t.is(code, 0, err);
    return JSON.parse(out);
  };
  const applied = async (): Promise<string[]> =>
    ((await migrate(['status'])) as { version: string; state: string }[])
      .filter(({ state }) => state === 'applied')
      .map(({ version }) => version);
  t.deepEqual(await applied(), []);
  const up = (await migrate(['up', '--variable', 'SHOP_URL'], { SHOP_URL: url })) as string[];
  t.is(up.length, 3);
  t.deepEqual(await applied(), ['1', '2', '3']);
  t.is(
    ((await migrate(['down', '--variable', 'SHOP_URL', '--env-file', 'db.env'], {})) as string[]).length,
    1,
  );
  t.deepEqual(await applied(), ['1', '2']);
  t.is(((await migrate(['up'])) as string[]).length, 1);
  await migrate(['down', '--steps', '2']);
  t.deepEqual(await applied(), ['1']);
  await migrate(['up']);
  await migrate(['down', '--to', '1']);
  t.deepEqual(await applied(), ['1']);
  t.deepEqual(await migrate(['down', '--to', '1']), []);
  const words = await work.cutover(['migrate', 'status', '-d', 'm'], env);
  t.regex(words.out, /^applied +1 .*\nrolled-back +2 .*\nrolled-back +3 /);

  const refused: [string[], Record<string, string>, RegExp][] = [
    [['up', url], env, /too many arguments/],
    [['up', '-d', 'm', '--url', url], env, /unknown option/],
    [['up', '-d', 'm'], {}, /DATABASE_URL is not set/],
    [['up', '-d', 'm', '--variable', 'OTHER'], env, /OTHER is not set/],
    [['down', '-d', 'm', '--steps', '0'], env, /--steps 0/],
    [['down', '-d', 'm', '--steps', 'two'], env, /--steps two/],
    [['down', '-d', 'm', '--steps', '1', '--to', '1'], env, /not both/],
  ];
  for (const [args, more, says] of refused) {
    const { code, out, err } = await work.cutover(['migrate', ...args], more);
    t.is(code, 2, `${args.join(' ')}\n${err}`);
    t.is(out, '');
    t.regex(err, says);
    t.false((out + err).includes(new URL(url).password));
  }
  t.deepEqual(await applied(), ['1']);
});

test('engines are understood as npm understands them', (t) => {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    engines: { node: string };
  };
  const expected: Record<string, boolean> = {
    '20.20.2': false,
    '22.22.1': false,
    '22.22.2': true,
    '22.100.0': true,
    '23.11.0': false,
    '24.14.9': false,
    '24.15.0': true,
    '25.9.0': false,
    '26.0.0': true,
    '27.1.2': true,
    '26.0.0-nightly20260101': true,
  };
  for (const [version, fits] of Object.entries(expected))
    t.is(satisfies(version, engines.node), fits, version);
});

const run = (file: string, args: string[]): Promise<{ code: unknown; out: string; err: string }> =>
  new Promise((resolve) => {
    execFile(file, args, (error, out, err) => resolve({ code: error?.code ?? 0, out, err }));
  });

test('a Node that is too old is told which one is needed, before anything else is loaded', async (t) => {
  const work = await workplace(t);
  // Only these two: whatever else the start imported would be missing.
  for (const file of ['cli.ts', 'util/node-version.ts']) {
    const source = stripTypeScriptTypes(readFileSync(join(root, 'src', file), 'utf8'));
    mkdirSync(join(work.folder, 'dist/util'), { recursive: true });
    const path = join(work.folder, 'dist', file.replace('.ts', '.js'));
    writeFileSync(path, source.replaceAll(".ts'", ".js'"));
  }
  cpSync(join(root, 'package.json'), join(work.folder, 'package.json'));
  const built = join(work.folder, 'dist/cli.js');
  const pretended = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.1.0' } })`;
  // The start alone, and what is run here, which is the bundle under `npm test`.
  for (const file of [built, cli]) {
    const words = ['--import', `data:text/javascript,${pretended}`, file, 'runs'];
    const { code, err } = await run(process.execPath, words);
    t.is(code, 2, err);
    t.regex(err, /needs Node \^22[^]*this is 18\.1\.0[^]*newer Node/);
    t.notRegex(err, STACK);
  }

  const old = '/usr/bin/node';
  const version = (await run(old, ['-p', 'process.versions.node'])).out.trim();
  if (version === '' || satisfies(version, '>=22')) return t.log(`SKIPPED: no old Node at ${old}`);
  for (const file of [built, cli].filter((each) => each.endsWith('.js'))) {
    const real = await run(old, [file, '--help']);
    t.is(real.code, 2, real.err);
    t.regex(real.err, new RegExp(`needs Node .* this is ${version.replaceAll('.', '\\.')}`));
    t.notRegex(real.err, STACK);
  }
});
