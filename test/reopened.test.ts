import test from 'ava';
import { Client } from 'pg';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { shop } from './helpers/shop.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server?.stop());

test('a command whose sessions were taken for those of a process that died begins once more', async (t) => {
  const { work, env, name } = await shop(t, server, 'gate: open');
  t.is((await work.cutover(['run', 'playbook.yml'], env)).code, 0);
  const other = new Client({ connectionString: server.url('postgres') });
  await other.connect();
  const { done, child } = work.start(['swap-back', '--yes'], env);
  // As a guard does that has found the run without a process at the same moment, and looks until nobody is left.
  let ended = 0;
  while (ended < 4 && child.exitCode === null) {
    const { rows } = await other.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'cutover 2%'`,
    );
    ended += rows.length;
  }
  await other.end();
  t.true(ended >= 4);
  const { code, err } = await done;
  t.is(code, 0, err);
  t.is((await server.sql('select from shops', name)).length, 50);
});
