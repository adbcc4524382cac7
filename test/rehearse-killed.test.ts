import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { isAlive } from '../src/databases/postgres/embedded/processes.ts';
import { workplace } from './helpers/cli.ts';
import { NEEDS_PGBOUNCER } from './helpers/pgbouncer.ts';
import { fixture, playbook } from './helpers/rehearsal.ts';
import { until } from './helpers/until.ts';

/** Processes that work in a folder, or were told of it. */
async function processesIn(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const entry of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(folder) && isAlive(Number(entry))) found.push(Number(entry));
  }
  return found;
}

test(`what a rehearsal leaves that is killed is taken down by the next one${NEEDS_PGBOUNCER && ' (without PgBouncer)'}`, async (t) => {
  const work = await workplace(t);
  const temporary = join(work.folder, 'temporary');
  await mkdir(temporary, { mode: 0o755 });
  const env = { TMPDIR: temporary };
  const words = NEEDS_PGBOUNCER
    ? [playbook('quickstart.yml')]
    : [playbook('live-pgbouncer.yml'), '--fixture', fixture('orders')];
  const { child, done } = work.start(['rehearse', ...words], env);
  // The first command has come through: everything is there.
  let said = '';
  child.stderr!.on('data', (text: string) => (said += text));
  await until('a run', () => Promise.resolve(/✔ cutover run/.test(said)));
  child.kill('SIGKILL');
  // Its own commands end with their stage, or by themselves.
  void done;
  const left = (await readdir(temporary)).filter((name) => name.startsWith('cutover-rehearsal-'));
  t.is(left.length, 1);
  const processes = await processesIn(join(temporary, left[0]!));
  t.true(processes.length >= (NEEDS_PGBOUNCER ? 1 : 2), `${processes.length}`);
  const next = await work.cutover(['rehearse', playbook('losing.yml')], env);
  t.is(next.code, 5, next.err);
  t.regex(next.err, /taken down: 1 stage of processes that were killed/);
  t.deepEqual(
    (await readdir(temporary)).filter((name) => name.startsWith('cutover-rehearsal-')),
    [],
  );
  await until('its processes to go', async () => (await processesIn(join(temporary, left[0]!))).length === 0);
});
