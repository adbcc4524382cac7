import { readdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ava from 'ava';
import { workplace, type Workplace } from './helpers/cli.ts';
import { until } from './helpers/until.ts';

const test = ava.serial;

const TEXT =
  'version: 1\nname: shop\nblue: postgresql://me@localhost/shop\nwindow: { cron: 0 0 1 1 *, timezone: UTC, duration: 1m }\nswitch: { targets: [database-rename] }\n';

async function scene(t: Parameters<typeof workplace>[0]): Promise<Workplace> {
  const work = await workplace(t);
  await work.file('playbook.yml', TEXT);
  return work;
}

const locks = async ({ folder }: Workplace): Promise<string[]> =>
  (await readdir(join(folder, '.cutover')).catch(() => [])).filter((name) => name.startsWith('scheduler.'));

/** A scheduler that is at work. */
async function daemon(t: Parameters<typeof workplace>[0], work: Workplace) {
  const started = work.start(['schedule', 'playbook.yml']);
  let said = '';
  started.child.stderr!.on('data', (chunk: string) => (said += chunk));
  t.teardown(() => started.child.kill('SIGKILL'));
  await until('the scheduler', () => /the next window opens at/.test(said));
  return started;
}

test('a second scheduler is refused, and the first one goes on; when that was killed, the next one is let in', async (t) => {
  const work = await scene(t);
  const first = await daemon(t, work);
  for (const args of [
    ['schedule', 'playbook.yml', '--once'],
    ['schedule', 'playbook.yml'],
  ]) {
    const { code, err } = await work.cutover(args);
    t.is(code, 3, err);
    t.true(err.includes(`another scheduler is at work here: pid ${first.child.pid} on `), err);
    t.notRegex(err, /no window is open/);
  }
  t.is(first.child.exitCode, null);
  t.is((await locks(work)).length, 1);
  first.child.kill('SIGKILL');
  await first.done;
  t.is((await locks(work)).length, 1, 'a killed process has tidied up');
  const once = await work.cutover(['schedule', 'playbook.yml', '--once']);
  t.is(once.code, 0, once.err);
  t.deepEqual(await locks(work), []);
  const second = await daemon(t, work);
  second.child.kill('SIGTERM');
  t.is((await second.done).code, 0);
  t.deepEqual(await locks(work), []);
});

test('another process with the number of one that was killed is nobody', async (t) => {
  const work = await scene(t);
  const first = await daemon(t, work);
  const [name] = await locks(work);
  const held = join(work.folder, '.cutover', name!);
  first.child.kill('SIGKILL');
  await first.done;
  // This process lives, and was born at another time.
  const holder = { pid: process.pid, host: hostname(), since: new Date().toISOString(), birth: 'boot 1' };
  await writeFile(held, JSON.stringify(holder));
  const { code, err } = await work.cutover(['schedule', 'playbook.yml', '--once']);
  t.is(code, 0, err);
});

test('of several that begin at the same instant one at a time is at work', async (t) => {
  const work = await scene(t);
  const started = [1, 2, 3, 4].map(() => work.start(['schedule', 'playbook.yml']));
  t.teardown(() => started.forEach(({ child }) => child.kill('SIGKILL')));
  const living = () => started.filter(({ child }) => child.exitCode === null);
  await until('the others', () => living().length === 1);
  await sleep(500);
  t.is(living().length, 1);
  living()[0]!.child.kill('SIGTERM');
  const outcomes = await Promise.all(started.map(({ done }) => done));
  t.deepEqual(outcomes.map(({ code }) => String(code)).toSorted(), ['0', '3', '3', '3']);
  t.is(outcomes.filter(({ err }) => /the next window opens at/.test(err)).length, 1);
});

test('in folders of their own they do not know each other', async (t) => {
  const work = await scene(t);
  await daemon(t, work);
  const { code, err } = await work.cutover(['--state', 'elsewhere', 'schedule', 'playbook.yml', '--once']);
  t.is(code, 0, err);
});
