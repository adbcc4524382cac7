import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { workplace, type Outcome, type Workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

// What the many short processes compile is the same each time.
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'cutover-test-compile-cache');

/** Of roles: one that is the same wherever it is written, and one that is not. */
const PASSWORDS = { plain: 'Wohlverwahrt4711', odd: `Wohl&ver "wahrt"/@:#%41'ñ` };

let server: TestServer;
test.before(async () => {
  server = await testServer();
  for (const [role, password] of Object.entries(PASSWORDS)) {
    await server.sql(`create role ${role} superuser login password '${password.replaceAll("'", "''")}'`);
  }
});
test.after.always(() => server?.stop());

/** Every way in which a password could be written down. */
function spellings(password: string): string[] {
  const encoded = encodeURIComponent(password);
  const quoted = JSON.stringify(password).slice(1, -1);
  return [...new Set([password, encoded, quoted, JSON.stringify(quoted).slice(1, -1)])];
}

/** Lines of `text` that hold the password in some spelling. */
const leaks = (text: string, password: string): string[] =>
  text.split('\n').filter((line) => spellings(password).some((spelling) => line.includes(spelling)));

interface Subject {
  readonly work: Workplace;
  readonly name: string;
  readonly password: string;
  readonly env: Record<string, string>;
}

async function shop(t: ExecutionContext, role: keyof typeof PASSWORDS, more: string): Promise<Subject> {
  const work = await workplace(t);
  const name = await server.database('shop');
  await server.sql('create table shops as select 1 as id', name);
  const password = PASSWORDS[role];
  const url = new URL(server.url(name));
  const own = `postgresql://${role}:${encodeURIComponent(password)}@${url.host}/${name}`;
  await work.file('app.env', `DATABASE_URL="${own.replace('postgresql:', 'postgresql+psycopg2:')}"\n`);
  await work.file('db.env', `DATABASE_URL="${own}"\n`);
  await work.file(
    'playbook.yml',
    `version: 1
name: shop
blue: \${DATABASE_URL}
green: ${name}_green
switch: { targets: [env-file: { path: app.env }] }
${more}`,
  );
  return { work, name, password, env: { DATABASE_URL: own } };
}

/** Looks at the argument list of every process while `work` goes on, and gives those with the password in them. */
async function watched<T>(password: string, work: Promise<T>): Promise<{ result: T; seen: string[] }> {
  const seen = new Set<string>();
  const state = { going: true };
  const watch = async (): Promise<void> => {
    while (state.going) {
      for (const path of globSync('/proc/[0-9]*/cmdline')) {
        try {
          for (const line of leaks(readFileSync(path, 'utf8'), password)) seen.add(line);
        } catch {
          // The process is gone already.
        }
      }
      await sleep(10);
    }
  };
  const watching = watch();
  try {
    return { result: await work, seen: [...seen] };
  } finally {
    state.going = false;
    await watching;
  }
}

/** Nothing that a command wrote, and nothing that is in the journals, holds the password. */
function clean(t: ExecutionContext, { work, password }: Subject, outcomes: readonly Outcome[]): void {
  for (const { out, err } of outcomes) t.deepEqual(leaks(out + err, password), []);
  const journals = globSync('.cutover/**/*.jsonl', { cwd: work.folder });
  for (const path of journals)
    t.deepEqual(leaks(readFileSync(join(work.folder, path), 'utf8'), password), [], path);
}

test('whoever puts a password into an argument list is seen', async (t) => {
  const password = 'Verraten0815';
  const careless = promisify(execFile)('/bin/sh', ['-c', 'sleep 1; true', password]);
  const { seen } = await watched(password, careless);
  t.is(seen.length, 1);
});

// What a team's program might do when it is not careful.
const TELLTALE = `printf '%s\\\\n' \\"$DATABASE_URL\\" \\"$PASSWORD\\"; echo \\"failed for $PASSWORD\\" >&2`;
const PATHS = 'verify: [schema, row-counts]';

for (const role of ['plain', 'odd'] as const) {
  test(`a password (${role}) is nowhere, from the plan to the retirement`, async (t) => {
    const subject = await shop(t, role, PATHS);
    const { work, name, password, env } = subject;
    const outcomes: Outcome[] = [];
    const call = async (args: string[], code: number, more = env): Promise<void> => {
      const { result, seen } = await watched(password, work.cutover(args, more));
      outcomes.push(result);
      t.is(result.code, code, result.err);
      t.deepEqual(seen, [], args.join(' '));
    };
    await call(['plan', 'playbook.yml', '--json', '--env-file', 'db.env'], 0, {});
    await call(['plan', 'playbook.yml'], 0);
    await call(['run', 'playbook.yml', '--yes', '--json'], 0);
    await call(['status', '--json'], 0);
    await call(['status'], 0);
    await call(['swap-back', '--yes'], 0);
    await call(['retire', '--confirm', `${name}_green`], 0);
    clean(t, subject, outcomes);
    t.true(readFileSync(join(work.folder, 'app.env'), 'utf8').includes(encodeURIComponent(password)));
    t.is(globSync('.cutover/**/*.jsonl', { cwd: work.folder }).length, 1);
  });

  test(`a password (${role}) that a migrator or a check prints is blotted out`, async (t) => {
    for (const more of [
      `migrate: [command: { run: "${TELLTALE}; exit 3" }]`,
      `verify: [command: { run: "${TELLTALE}; exit 3" }]`,
      `migrate: [command: { run: "${TELLTALE}" }]\nverify: [sql: { query: "select current_setting('no.such')", equals: 1 }]`,
    ]) {
      const subject = await shop(t, role, more);
      const { work, password } = subject;
      const env = { ...subject.env, PASSWORD: password };
      const { result, seen } = await watched(password, work.cutover(['run', 'playbook.yml', '--yes'], env));
      t.true(result.code === 4 || result.code === 5, result.err);
      if (more.includes('exit 3')) t.regex(result.err, /failed for \*\*\*/);
      t.deepEqual(seen, []);
      clean(t, subject, [result, await work.cutover(['status', '--json']), await work.cutover(['status'])]);
    }
  });

  test(`a password (${role}) that is wrong, or of a server that is not there, is in no error`, async (t) => {
    const subject = await shop(t, role, PATHS);
    const { work, env } = subject;
    const url = env['DATABASE_URL']!;
    const outcomes: Outcome[] = [];
    for (const bad of [
      url.replace(`${role}:`, 'postgres:'),
      url.replace(/@[^/]*/, '@127.0.0.1:1'),
      url.replace(/@[^/]*/, '@no such host'),
      url.replace(/\/[^/]*$/, '/no_such_database'),
      url.replace(/\/[^/]*$/, ''),
      url.replace(/^postgresql:\/\//, 'postgresql:'),
    ]) {
      for (const args of [
        ['plan', 'playbook.yml'],
        ['run', 'playbook.yml', '--yes'],
        ['migrate', 'up', '-d', '.'],
      ]) {
        const outcome = await work.cutover(args, { DATABASE_URL: bad });
        outcomes.push(outcome);
        t.true(outcome.code === 2 || outcome.code === 3 || outcome.code === 4, `${args[0]}\n${outcome.err}`);
      }
    }
    clean(t, subject, outcomes);
  });
}
