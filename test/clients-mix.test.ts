import test from 'ava';
import { Client } from 'pg';
import { PlaybookError } from '../src/core/text/mistakes.ts';
import { readFixture } from '../src/databases/postgres/fixture/describe.ts';
import { workOf } from '../src/rehearse/clients/mix.ts';
import { Ledger } from '../src/rehearse/clients/ledger.ts';
import { workplace } from './helpers/cli.ts';
import { testServer } from './helpers/postgres.ts';

test('what is wrong with a mix is told at its place', async (t) => {
  const work = await workplace(t);
  const wrong: [text: string, says: RegExp][] = [
    ['load: []\nmix:\n  reads: many\n', /3:10 {2}mix\.reads: must be a (?:whole )?number/],
    ['load: []\nmix: { updates: -1 }\n', /2:17 {2}mix\.updates: must be at least 0/],
    ['load: []\nmix: { inserts: 101 }\n', /2:17 {2}mix\.inserts: must be at most 100/],
    ['load: []\nmix: { delete: 1 }\n', /2:8 {2}mix\.delete: unknown key; did you mean "deletes"\?/],
    ['load: []\nmixx: { reads: 1 }\n', /2:1 {2}mixx: unknown key; did you mean "mix"\?/],
    ['load: []\nwrites: schema\n', /2:9 {2}writes: .*"?from-schema/],
    ['load: []\nwrites: [select 1]\nmix: { reads: 1 }\n', /3:\d+ {2}mix: is for statements that are derived/],
  ];
  for (const [text, says] of wrong) {
    await work.file('fixture.yml', text);
    const error = await t.throwsAsync(readFixture(work.folder), { instanceOf: PlaybookError });
    t.regex(error.detail!, says);
  }
});

test('statements are derived unless a fixture has its own, or says that there are none', async (t) => {
  const work = await workplace(t);
  for (const [lines, writes] of [
    ['', 'from-schema'],
    ['writes: from-schema\nmix: { reads: 7 }\n', 'from-schema'],
    ['writes: []\n', []],
    ['writes: [select 1]\n', [{ sql: 'select 1', weight: 1 }]],
  ] as const) {
    await work.file('fixture.yml', `load: []\n${lines}`);
    const fixture = await readFixture(work.folder);
    t.deepEqual(fixture.writes, writes);
    t.is(fixture.mix.reads, lines.includes('7') ? 7 : 2);
  }
});

test('weights of a fixture are kept, those of transfers too', async (t) => {
  const work = await workplace(t);
  await work.file(
    'fixture.yml',
    'load: []\nmix: { reads: 6, updates: 3, inserts: 2, deletes: 0, transfers: 4 }\n',
  );
  const server = await testServer();
  t.teardown(() => server.stop());
  const database = await server.database('mix');
  const ledger = new Ledger();
  await server.sql(
    `create table t (id serial primary key, note text); insert into t (note) values ('a'), ('a'); analyze`,
    database,
  );
  const url = server.url(database);
  const derived = await workOf(await readFixture(work.folder), ledger, url);
  const { transactions, reads } = derived;
  t.deepEqual(derived.without, []);
  await server.sql(ledger.tables(), database);
  t.is(transactions.length, 4 + 4 + 6 + 3 + 2);
  t.is(transactions.filter((one) => one === ledger.transfer).length, 4);
  t.is(reads.length, 2);
  const client = new Client({ connectionString: url });
  await client.connect();
  t.teardown(() => client.end());
  for (let round = 0; round < 3; round += 1) for (const make of transactions) await make(client, 1);
  t.is(
    derived.done()[0]!.message,
    'statements derived from the schema for 1 table: 18 reads, 9 updates, 6 inserts, 0 deletes',
  );
  t.is((await server.sql('select from t', database)).length, 2 + 6);
});
