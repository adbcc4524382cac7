import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Undo } from '../../core/drivers/stand-in.ts';
import { StepError } from '../../core/errors.ts';
import { serverAccount } from '../../databases/postgres/embedded/binaries.ts';
import { start } from '../../util/exec.ts';
import type { Side } from '../../core/side.ts';
import { LEDGER_SCHEMA } from '../clients/ledger.ts';
import type { Stage } from './stage.ts';

const MB = 1024 ** 2;
/** By how much everything but the ballast may grow, and by how much the ballast is larger than may be. */
const SPARE = 8 * MB;
/** A table has no larger file. */
const LARGEST = 1024 * MB;
const PAGE = 8192;

/** A table that there is no room for when a disk is full, and that nobody but the copy needs room for. */
const BALLAST = `${LEDGER_SCHEMA}.ballast`;
/** Needs room for the whole of it once more, and changes nothing. */
export const REWRITE = `update ${BALLAST} set filler = filler;\n`;

/** Puts a table into blue that is larger than any file may be when the disk is full; none where there is no such size. */
export async function loadBallast(stage: Stage): Promise<void> {
  const name = stage.names.blue;
  const [{ size } = { size: LARGEST }] = await stage.ask<{ size: number }>(
    'blue',
    name,
    `select greatest(pg_size_bytes(current_setting('wal_segment_size')),
       (select max(pg_relation_size(oid)) from pg_class where relkind in ('r', 'i', 't', 'm')) + ${SPARE})::float8 as size`,
  );
  const pages = Math.ceil((size + SPARE) / PAGE);
  if (pages * PAGE > LARGEST) return;
  for (const sql of [
    `create table ${BALLAST} (id int primary key, filler text not null)`,
    `alter table ${BALLAST} alter column filler set storage plain`,
    // One row a page.
    `insert into ${BALLAST} select i, repeat('x', 8000) from generate_series(1, ${pages}) i`,
    // What is only read is not to be written again.
    `vacuum (freeze, analyze) ${BALLAST}`,
    'checkpoint',
  ])
    await stage.ask('blue', name, sql);
}

/** Larger than this no file may be when the disk is full; undefined without ballast. Blue must be open. */
export async function roomOf(stage: Stage): Promise<number | undefined> {
  const [row] = await stage.ask<{ size: number | null }>(
    'blue',
    stage.names.blue,
    `select pg_relation_size(to_regclass('${BALLAST}'))::float8 as size`,
  );
  return row?.size ? row.size - SPARE : undefined;
}

/** Why no disk can be full here; undefined when it can. */
export async function neverFull(stage: Stage): Promise<string | undefined> {
  const { code } = await prlimit([]).catch(() => ({ code: undefined }));
  if (code !== 0) return 'prlimit is not installed, which Linux has in util-linux';
  return (await roomOf(stage)) === undefined
    ? 'a table of blue is too large; give a smaller --scale'
    : undefined;
}

/** Makes that no process of a side's server can write behind `room` in a file; gives what ends that. */
export async function fill(stage: Stage, side: Side, room: number): Promise<Undo> {
  const [row] = await stage.ask<{ pid: number }>(
    side,
    'postgres',
    `select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int as pid`,
  );
  const { pid } = row!;
  const before = /^Max file size\s+(\S+)/m.exec(await readFile(`/proc/${pid}/limits`, 'utf8'))![1]!;
  await limit(pid, String(room));
  return () => limit(pid, before);
}

/** How often a side's server has had no room for something, by its log. */
export async function timesFull(stage: Stage, side: Side): Promise<number> {
  const [row] = await stage.ask<{ data: string }>(
    side,
    'postgres',
    `select current_setting('data_directory') as data`,
  );
  const log = await readFile(join(row!.data, '../log'), 'utf8');
  return log.split('File too large').length - 1;
}

/** The server first: what it starts from now on has its limit. */
async function limit(server: number, size: string): Promise<void> {
  const done = new Set<number>();
  for (let left = [server]; left.length > 0;) {
    for (const pid of left) {
      const { code, output } = await prlimit([`--pid=${pid}`, `--fsize=${size}:`]);
      // One that has ended needs none.
      if (code !== 0 && pid === server) throw new StepError(`prlimit failed: ${output.trim()}`);
      done.add(pid);
    }
    left = (await childrenOf(server)).filter((pid) => !done.has(pid));
  }
}

/** As the account of the server: whoever is root need not be allowed to in a container. */
function prlimit(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = start({ file: 'prlimit', args }, { cwd: '/', ...serverAccount() });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}

async function childrenOf(parent: number): Promise<number[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(
    names.map((name) => readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')),
  );
  // The name of a process may have anything in it.
  const parents = stats.map((stat) => Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  return names.map(Number).filter((_, index) => parents[index] === parent);
}
