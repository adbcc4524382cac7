import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { liveSuite } from './helpers/live-suite.ts';
import { eventsOf } from './helpers/cli.ts';

const { test, title, server, scene } = liveSuite();

test(
  title('a bake that fails under writing clients, made by the scheduler: swapped back, and nothing is lost'),
  async (t) => {
    let looks = 0;
    const application = createServer((_request, response) => {
      looks += 1;
      response.statusCode = looks > 3 ? 500 : 200;
      response.end();
    });
    await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve));
    t.teardown(() => application.close());
    const { port } = application.address() as AddressInfo;
    const at = new Date(Date.now() - 60_000);
    const { ledger, blue, green, work, env } = await scene(t, {
      head: [
        'sync: logical',
        `window: { cron: "${at.getUTCMinutes()} ${at.getUTCHours()} * * *", timezone: UTC, duration: 2h }`,
        'notify: [command: { run: "echo $CUTOVER_EVENT $CUTOVER_EXIT >> told" }]',
        'bake:',
        '  { for: 10m, every: 500ms, failures: 2, on-failure: swap-back,',
        `    checks: [http: { url: "http://127.0.0.1:${port}/" }, sql: { query: "select count(*) > 0 from accounts", equals: true }] }`,
      ].join('\n'),
    });
    const plan = await work.cutover(['plan', 'playbook.yml'], env);
    t.regex(plan.out, /Clients go on reading and writing shop_\w+, and shop_\w+ follows \(sync: logical\)/);
    t.notRegex(plan.out, /nobody can read or write/);
    ledger.start();
    const ran = await work.cutover(['schedule', 'playbook.yml', '--once'], env);
    t.is(ran.code, 6, ran.err);
    t.regex(ran.err, /green is not well for 2 looks in a row: http: .*answers 500 instead of 200/);
    t.regex(ran.err, /is live again, and nothing is lost/);
    t.is(looks, 5);
    const { errors, acknowledged } = await ledger.stop();
    t.deepEqual(errors, []);
    t.true(acknowledged > 100, String(acknowledged));
    t.deepEqual(await ledger.problems(server(), blue.name), []);
    t.is(await readFile(join(work.folder, 'told'), 'utf8'), 'started\nfailed 7\nswapped-back 6\n');
    const types = (await eventsOf(work)).map(({ type }) => type);
    t.deepEqual(
      types.filter((type) => type === 'ownership-moved'),
      ['ownership-moved', 'ownership-moved'],
    );
    const used = await readFile(join(work.folder, '.cutover/windows/shop.json'), 'utf8');
    t.regex(used, /"exit": ?6/);
    // The way there is open once more, and what is left goes away in order.
    const again = await work.cutover(['switch', '--yes'], env);
    t.is(again.code, 0, again.err);
    t.deepEqual(await ledger.problems(server(), green.name), []);
    const retired = await work.cutover(['retire', '--confirm', blue.name], env);
    t.is(retired.code, 0, retired.err);
  },
);
