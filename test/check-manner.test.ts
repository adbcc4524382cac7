import test from 'ava';
import { checks } from '../src/checks/registry.ts';
import { failures, loadFixture, withPair, openCheck, said, type Pair } from './helpers/check-contract.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';

let server: TestServer;
let template: string;
test.before(async () => {
  server = await testServer();
  template = await loadFixture(server, 'odd-names');
});
test.after.always(() => server?.stop());

const inPair = (work: (pair: Pair) => Promise<void>) => withPair(server, template, work);

const SLOW = { query: 'select 1 from pg_sleep(20)', equals: 1 };

test.serial('severity: what a check finds is told as a warning', (t) =>
  inPair(async (pair) => {
    await pair.green.query('create table more (id int); drop schema if exists nowhere');
    const wrong = { query: 'select 1', equals: 2 };
    t.is(failures(await openCheck('sql', wrong).run(await pair.context())).length, 1);
    const findings = await openCheck('sql', { ...wrong, severity: 'warning' }).run(await pair.context());
    t.deepEqual(
      findings.map(({ severity }) => severity),
      ['warning'],
    );
    t.regex(
      openCheck('sql', { ...wrong, severity: 'warning' })
        .describe()
        .join('\n'),
      /only told/,
    );
  }),
);

test.serial(
  'limit: a check that does not finish has not passed, and the next one does not wait for it',
  (t) =>
    inPair(async (pair) => {
      const context = await pair.context();
      const started = performance.now();
      const found = await openCheck('sql', { ...SLOW, limit: '300ms' }).run(context);
      t.regex(
        said(found),
        /^unknown \| did not finish within 300 ms \| give it more time: sql: \{ limit: … \}/m,
      );
      // The same connections: the server has ended what it was asked.
      const after = await openCheck('checksums').run(context);
      t.deepEqual(failures(after), [], said(after));
      const took = performance.now() - started;
      t.true(took < 10_000, `${took} ms`);
      // The limit is over with its check.
      t.deepEqual(
        failures(await openCheck('sql', { query: 'select 1 from pg_sleep(0.5)', equals: 1 }).run(context)),
        [],
      );
      t.is(
        (await openCheck('sql', { ...SLOW, limit: '300ms', severity: 'warning' }).run(context))[0]!.severity,
        'warning',
      );
      t.deepEqual(failures(await openCheck('checksums', { limit: '5m' }).run(context)), []);
    }),
);

test('every check takes a severity and a limit', (t) => {
  for (const [name, { options }] of Object.entries(checks)) {
    const own =
      { sql: { query: 'select 1', equals: 1 }, command: { run: 'true' }, http: { url: 'http://x' } }[name] ??
      {};
    t.deepEqual(options.parse({ ...own, severity: 'warning', limit: '10m' }), {
      ...(options.parse(own) as object),
      severity: 'warning',
      limit: 600_000,
    });
    t.throws(() => options.parse({ ...own, severity: 'nothing' }), undefined, name);
    t.throws(() => options.parse({ ...own, limit: '0s' }), undefined, name);
  }
});
