import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import ava from 'ava';
import { eventsOf, statusIn, workplace } from './helpers/cli.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { until } from './helpers/until.ts';

// One after the other: each takes both cores.
const test = ava.serial;
let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

/** The process that works on the only run. */
async function writerIn(folder: string): Promise<number | undefined> {
  const runs = join(folder, '.cutover/runs');
  const [run] = await readdir(runs).catch(() => []);
  if (run === undefined) return undefined;
  const [file] = (await readdir(join(runs, run))).filter((name) => name.startsWith('writer.'));
  return file === undefined ? undefined : Number(file.split('.')[1]);
}

const PHASES = ['fence', 'clone', 'migrate', 'verify', 'switch', 'keep', 'bake'] as const;

for (const phase of PHASES)
  test(`scheduler and run are killed before ${phase}, and the scheduler is started again`, async (t) => {
    const work = await workplace(t);
    const name = await server.database();
    await server.sql('create table shops (id int primary key); insert into shops values (1)', name);
    await work.file('V001__made.sql', 'create table made (id int primary key);\n');
    const at = new Date(Date.now() - 60_000);
    const window = `{ cron: "${at.getUTCMinutes()} ${at.getUTCHours()} * * *", timezone: UTC, duration: 3h }`;
    await work.file(
      'playbook.yml',
      `version: 1
name: shop
blue: \${DATABASE_URL}
window: ${window}
migrate: [sql: { directory: . }]
gate: open
hooks: [{ before: ${phase}, run: 'test -e again || { touch reached; sleep 60; }', timeout: 5m }]
switch: { targets: [database-rename] }
bake: { for: 1s, every: 500ms, checks: [sql: { query: select count(*) from shops, equals: 1 }] }
`,
    );
    const env = { DATABASE_URL: server.url(name) };
    const { child, done } = work.start(['schedule', 'playbook.yml', '--once'], env);
    await until('the phase', async () => (await readdir(work.folder)).includes('reached'));
    const pid = await writerIn(work.folder);
    child.kill('SIGKILL');
    process.kill(pid!, 'SIGKILL');
    await work.file('again', '');
    const behind = phase === 'keep' || phase === 'bake';
    const again = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
    await done;
    t.is(again.code, 0, again.err);
    t.regex(
      again.err,
      new RegExp(`left by a process that died; to settle it: cutover ${behind ? 'resume' : 'abort'} `),
    );
    t.regex(again.err, /no window is open that was not used/);
    // Before the fence nothing was touched.
    t.is((await statusIn(work))?.phase, behind ? 'completed' : phase === 'fence' ? 'refused' : 'unwound');
    // Whoever comes finds the database open, with everything in it.
    const rows = await server.sql('select id from shops', name);
    t.is(rows.length, 1);
    const left = await server.sql(`select datname from pg_database where datname like '${name}_%'`);
    t.is(left.length, behind ? 1 : 0);
    const [created] = await eventsOf(work);
    t.true(created?.type === 'run-created' && created.window !== undefined);
    t.regex(await readFile(join(work.folder, '.cutover/windows/shop.json'), 'utf8'), /"key"/);
    const third = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
    t.notRegex(third.err, /left by a process that died/);
  });

test('a run that a person began is left to that person', async (t) => {
  const work = await workplace(t);
  const name = await server.database();
  const at = new Date(Date.now() + 3_600_000);
  await work.file(
    'playbook.yml',
    `version: 1
name: shop
blue: \${DATABASE_URL}
window: { cron: "${at.getUTCMinutes()} ${at.getUTCHours()} * * *", timezone: UTC, duration: 1h }
gate: open
hooks: [{ before: clone, run: 'touch reached; sleep 60', timeout: 5m }]
switch: { targets: [database-rename] }
`,
  );
  const env = { DATABASE_URL: server.url(name) };
  const { child, done } = work.start(['run', 'playbook.yml'], env);
  await until('the phase', async () => (await readdir(work.folder)).includes('reached'));
  child.kill('SIGKILL');
  const scheduled = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
  t.is(scheduled.code, 0);
  t.notRegex(scheduled.err, /left by a process/);
  const aborted = await work.cutover(['abort'], env);
  await done;
  t.is(aborted.code, 0, aborted.err);
});
