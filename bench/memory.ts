// Peak memory of the tool over a whole run, with few rows and with many. Goal: flat in the number of rows.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testServer, type TestServer } from '../test/helpers/postgres.ts';

const FEW = 1000;
const MANY = 3_000_000;
const GOAL_RATIO = 1.15;
const cli = new URL('../dist/bin/cli.js', import.meta.url).pathname;

const server = await testServer();
try {
  const few = await measure(server, FEW);
  const many = await measure(server, MANY);
  console.log(`rows       peak MB   seconds`);
  for (const { rows, peakMb, seconds } of [few, many]) {
    console.log(
      `${String(rows).padEnd(10)} ${peakMb.toFixed(1).padStart(7)} ${seconds.toFixed(1).padStart(9)}`,
    );
  }
  const ratio = many.peakMb / few.peakMb;
  console.log(
    JSON.stringify({
      bench: 'memory',
      few,
      many,
      ratio: Number(ratio.toFixed(3)),
      goal_ratio: GOAL_RATIO,
      met: ratio <= GOAL_RATIO,
    }),
  );
} finally {
  await server.stop();
}

async function measure(on: TestServer, rows: number) {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-bench-'));
  const shop = await on.database('bench');
  await on.sql(
    `create table items (id int primary key, name text, price numeric, at timestamptz);
     insert into items select g, 'item ' || g, g / 7.0, now() from generate_series(1, ${rows}) g; analyze`,
    shop,
  );
  await writeFile(join(folder, 'V001__note.sql'), 'alter table items add column note text;\n');
  await writeFile(
    join(folder, 'playbook.yml'),
    `version: 1\nname: bench\nblue: \${DATABASE_URL}\nmigrate: [sql: { directory: . }]\nswitch: { targets: [database-rename] }\ngate: open\n`,
  );
  const started = performance.now();
  const child = spawn(process.execPath, [cli, 'run', 'playbook.yml'], {
    cwd: folder,
    env: { ...process.env, DATABASE_URL: on.url(shop) },
    stdio: 'ignore',
  });
  let peakKb = 0;
  const watch = setInterval(() => {
    readFile(`/proc/${child.pid}/status`, 'utf8').then(
      (status) => {
        peakKb = Math.max(peakKb, Number(/VmHWM:\s*(\d+)/.exec(status)?.[1] ?? 0));
      },
      () => undefined,
    );
  }, 20);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearInterval(watch);
  if (code !== 0) throw new Error(`the run ended with exit code ${String(code)}`);
  await rm(folder, { recursive: true });
  return { rows, peakMb: peakKb / 1024, seconds: (performance.now() - started) / 1000 };
}
