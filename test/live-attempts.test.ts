import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { setTimeout as sleep } from 'node:timers/promises';
import { liveSuite } from './helpers/live-suite.ts';
import { appears, until } from './helpers/until.ts';

const { test, title, server, scene, leftovers } = liveSuite({ max_prepared_transactions: '5' });

const THOUSANDS =
  'do $$ begin for i in 1..1500 loop execute format($f$create table t%s (id int primary key)$f$, i); end loop; end $$;';
/** So many files take a slow disk longer to copy than clients are held for by default. */
const PATIENT = 'sync: logical\nclone: { pause: 1m }';

/** A transaction that has written something, in a database that no run has to do with. */
async function stranger(t: ExecutionContext): Promise<{ commit(): Promise<unknown> }> {
  const client = await server().connect(await server().database('other'));
  await client.query('create table t (a int); begin; insert into t values (1)');
  t.teardown(() => client.query('rollback'));
  return { commit: () => client.query('commit') };
}

// Whom the slots wait for

test(title('the clone waits for whoever writes on the server, and holds nobody meanwhile'), async (t) => {
  const other = await stranger(t);
  const { ledger, work, env, pooler } = await scene(t);
  const slept = await pooler.watch();
  ledger.start();
  const { done, child } = work.start(['run', 'playbook.yml'], env);
  let out = '';
  child.stdout!.on('data', (chunk: string) => (out += chunk));
  child.stderr!.on('data', (chunk: string) => (out += chunk));
  await until('the wait', () => /waiting for a transaction that writes, in other_\w+: pid \d+/.test(out));
  for (let look = 0; look < 100; look += 1) {
    t.false(await slept.isPaused('shop'));
    await sleep(5);
  }
  await other.commit();
  const ran = await done;
  t.is(ran.code, 0, ran.err);
  const { errors } = await ledger.stop();
  t.deepEqual(errors, []);
  await slept.end();
});

test(title('the wait for whoever writes can be called off'), async (t) => {
  const other = await stranger(t);
  const { work, env, blue } = await scene(t);
  const { done, child } = work.start(['run', 'playbook.yml'], env);
  let out = '';
  child.stderr!.on('data', (chunk: string) => (out += chunk));
  child.stdout!.on('data', (chunk: string) => (out += chunk));
  await until('the wait', () => out.includes('waiting for a transaction that writes'));
  child.kill('SIGINT');
  const { code, err } = await done;
  t.is(code, 130, err);
  t.deepEqual(await leftovers(blue.name), []);
  await other.commit();
});

test(title('a switch does not wait for whoever writes elsewhere for longer than it should'), async (t) => {
  const { work, env, blue } = await scene(t, {
    head: 'sync: logical\nhooks: [{ before: switch, run: "touch at-switch; sleep 1" }]',
    lines: '  long-transactions: { wait: 300ms, then: end }\n',
  });
  const { done } = work.start(['run', 'playbook.yml'], env);
  await appears(join(work.folder, 'at-switch'));
  const other = await stranger(t);
  const { code, err } = await done;
  t.is(code, 4, err);
  t.regex(err, /a transaction that writes was still open after 300 ms[^]*in other_\w+: pid \d+/);
  t.deepEqual(await leftovers(blue.name), []);
  await other.commit();
  const prepared = await server().connect(await server().database('other'));
  const again = work.start(['run', 'playbook.yml'], env);
  await rm(join(work.folder, 'at-switch'));
  await appears(join(work.folder, 'at-switch'));
  await prepared.query(
    `create table t (a int); begin; insert into t values (1); prepare transaction 'elsewhere'`,
  );
  const ended = await again.done;
  await prepared.query(`rollback prepared 'elsewhere'`);
  t.is(ended.code, 4, ended.err);
  t.regex(ended.err, /a transaction that writes was still open after 300 ms[^]*pg_prepared_xacts/);
});

// Attempts that are put back

test(
  title(
    'a swap back that is interrupted before the pause leaves the previous copy as it was, and can be made again',
  ),
  async (t) => {
    const { cutover, work, env, ledger, blue } = await scene(t, { sql: THOUSANDS, head: PATIENT });
    ledger.start();
    const ran = await cutover(['run', 'playbook.yml']);
    t.is(ran.code, 0, ran.err);
    const { done, child } = work.start(['swap-back', '--yes'], env);
    const watching = await server().connect('postgres');
    const isClosed = async (): Promise<boolean> =>
      !(
        await watching.query<{ open: boolean }>(
          'select datallowconn as open from pg_database where datname = $1',
          [blue.name],
        )
      ).rows[0]!.open;
    while (!(await isClosed()) && child.exitCode === null);
    child.kill('SIGINT');
    const { code, err } = await done;
    t.is(code, 130, err);
    t.false(await isClosed());
    await t.throwsAsync(server().sql('delete from accounts', blue.name), { message: /is fenced by cutover/ });
    const back = await cutover(['swap-back', '--yes']);
    t.is(back.code, 0, back.err);
    t.deepEqual((await ledger.stop()).errors, []);
    t.deepEqual(await ledger.problems(server(), blue.name), []);
  },
);

test(title('killed after the switch and aborted: the previous copy follows, and leads back'), async (t) => {
  const { cutover, work, env, ledger, blue, green } = await scene(t, {
    head: 'sync: logical\nhooks: [{ after: switch, run: "touch after-switch; sleep 30" }]',
  });
  ledger.start();
  const { done, child } = work.start(['run', 'playbook.yml'], env);
  await appears(join(work.folder, 'after-switch'));
  child.kill('SIGKILL');
  await done;
  const aborted = await cutover(['abort']);
  t.is(aborted.code, 0, aborted.err);
  await until('the way back', async () => {
    const { out } = await cutover(['status', '--json']);
    const { wayBack } = JSON.parse(out) as { wayBack?: { lag: { running: boolean } } };
    return wayBack?.lag.running === true;
  });
  const back = await cutover(['swap-back', '--yes']);
  t.is(back.code, 0, back.err);
  t.deepEqual((await ledger.stop()).errors, []);
  t.deepEqual(await ledger.problems(server(), blue.name), []);
  t.is((await cutover(['retire', '--confirm', green.name])).code, 0);
  t.deepEqual(await leftovers(blue.name), []);
});

test(title('nobody writes to the previous copy while it is retired'), async (t) => {
  const { cutover, blue, green } = await scene(t, { sql: THOUSANDS, head: PATIENT });
  const ran = await cutover(['run', 'playbook.yml']);
  t.is(ran.code, 0, ran.err);
  const over = new AbortController();
  let tries = 0;
  const written: number[] = [];
  const trying = (async () => {
    let client = await server().connect(blue.name);
    while (!over.signal.aborted) {
      tries += 1;
      try {
        await client.query('insert into t1 values ($1)', [tries]);
        written.push(tries);
      } catch (error) {
        if (/is fenced/.test((error as Error).message)) continue;
        client = await server()
          .connect(blue.name)
          .catch(() => (over.abort(), client));
      }
    }
  })();
  const retired = await cutover(['retire', '--confirm', blue.name]);
  over.abort();
  await trying;
  t.is(retired.code, 0, retired.err);
  t.true(tries > 10);
  t.deepEqual(written, []);
  t.is((await server().sql('select 1 as one from t1', green.name)).length, 0);
});
