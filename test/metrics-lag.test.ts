import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { liveSuite } from './helpers/live-suite.ts';
import { readOpenMetrics, valueOf } from './helpers/openmetrics.ts';

const { test, title, scene } = liveSuite();

test(title('metrics say how far who follows is behind, and that it stands still'), async (t) => {
  const { work, env, blue, green } = await scene(t);
  t.is((await work.cutover(['run', 'playbook.yml', '--prepare'], env)).code, 0);
  const value = async (name: string): Promise<number | undefined> => {
    const { code, out, err } = await work.cutover(['metrics', '--lag'], env);
    t.is(code, 0, err);
    return valueOf(readOpenMetrics(out), name, { playbook: 'shop' });
  };
  t.is(await value('cutover_following'), 1);
  const before = (await value('cutover_lag_bytes'))!;
  const { code, err } = await work.cutover(['resume', '--yes'], env);
  t.is(code, 0, err);
  t.is(await value('cutover_following'), 1);
  const words = ['schedule', 'playbook.yml', '--once', '--metrics-file', 's.prom'];
  for (const [flags, says] of [
    [['--metrics-lag'], true],
    [[], false],
  ] as const) {
    t.is((await work.cutover([...words, ...flags], env)).code, 0);
    const kept = await readFile(join(work.folder, 's.prom'), 'utf8');
    t.is(/cutover_following\{playbook="shop"\} 1/.test(kept), says);
  }
  // Whoever applies to the previous copy waits for a lock.
  const client = new Client({ connectionString: blue.server.url(blue.name) });
  client.on('error', () => undefined);
  await client.connect();
  t.teardown(() => client.end());
  await client.query('begin; lock table entries in access exclusive mode');
  await green.server.sql(
    "insert into entries select n::text, 1, repeat('word ', 100) from generate_series(1, 20000) n",
    green.name,
  );
  t.true((await value('cutover_lag_bytes'))! > before + 1_000_000);
  const plain = await work.cutover(['metrics'], env);
  t.notRegex(plain.out, /cutover_lag_bytes/);
  // Servers whose address is not known here are told, and everything else is there.
  const away = await work.cutover(['metrics', '--lag', '--output', 'm.prom'], { ...env, DATABASE_URL: '' });
  t.is(away.code, 0, away.err);
  t.regex(away.err, /shop: its lag is not known/);
  const text = await readFile(join(work.folder, 'm.prom'), 'utf8');
  t.notRegex(text, /cutover_following/);
  t.regex(text, /cutover_live_side/);
});
