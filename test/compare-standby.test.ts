import { execFileSync } from 'node:child_process';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { startCluster } from '../src/databases/postgres/embedded/cluster.ts';
import { embeddedBinaries } from '../src/databases/postgres/embedded/binaries.ts';
import { ask } from './helpers/ask.ts';
import { workplace } from './helpers/cli.ts';
import { until } from './helpers/until.ts';

const SETTINGS = { fsync: 'off', shared_buffers: '64MB' };

const folder = (): Promise<string> => mkdtemp(join(tmpdir(), 'cutover-test-standby-'));

/** A server, and one that follows it by streaming; connection strings of one database on both. */
async function replicated(t: ExecutionContext): Promise<{ primary: string; standby: string }> {
  const [home, other] = [await folder(), await folder()];
  t.teardown(() => Promise.all([home, other].map((each) => rm(each, { recursive: true, force: true }))));
  const binaries = await embeddedBinaries();
  await (await startCluster({ binaries, home, settings: SETTINGS })).stop();
  // With owners and modes, which Node's own copying does not keep.
  execFileSync('cp', ['-a', `${home}/.`, other]);
  const first = await startCluster({ binaries, home, settings: SETTINGS });
  t.teardown(() => first.stop());
  const { hostname, port, username, password } = new URL(first.url('postgres'));
  await appendFile(
    join(other, 'data/postgresql.auto.conf'),
    `primary_conninfo = 'host=${hostname} port=${port} user=${username} password=${password}'\n`,
  );
  await writeFile(join(other, 'data/standby.signal'), '');
  const second = await startCluster({ binaries, home: other, settings: SETTINGS });
  t.teardown(() => second.stop());
  await ask(first.url('postgres'), 'create database shop');
  return { primary: first.url('shop'), standby: second.url('shop') };
}

test('a standby is held against its primary: level it is the same, and what has not come is named', async (t) => {
  const { primary, standby } = await replicated(t);
  await ask(
    primary,
    `create table items (id int primary key, name text);
     insert into items select i, 'item ' || i from generate_series(1, 100000) i`,
  );
  const level = async (): Promise<boolean> => {
    const [row] = await ask(primary, 'select pg_current_wal_lsn()::text as lsn');
    const [at] = await ask(standby, `select pg_last_wal_replay_lsn() >= '${String(row!['lsn'])}' as there`);
    return at!['there'] === true;
  };
  await until('the standby to be level', () => level().catch(() => false));
  const work = await workplace(t);
  const env = { PRIMARY: primary, STANDBY: standby };
  for (const sides of [
    ['${PRIMARY}', '${STANDBY}'],
    ['${STANDBY}', '${PRIMARY}'],
  ]) {
    const same = await work.cutover(['compare', ...sides, '--jobs', '2'], env);
    t.is(same.code, 0, same.out + same.err);
    t.regex(same.out, /100,000 rows in 1 table \(2 columns\) have the same checksums/);
  }
  await ask(standby, 'select pg_wal_replay_pause()');
  await ask(primary, `update items set name = 'other' where id = 4711`);
  const differs = await work.cutover(['compare', '${PRIMARY}', '${STANDBY}', '--jobs', '2'], env);
  t.is(differs.code, 5, differs.out + differs.err);
  t.regex(differs.out, /id=4711: name differs/);
});
