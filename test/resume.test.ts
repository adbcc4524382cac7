import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { EventBody } from '../src/core/event.ts';
import { FileJournalStore } from '../src/journal/file.ts';
import { fold, type RunState } from '../src/journal/fold.ts';
import type { Outcome } from './helpers/cli.ts';
import { dump } from './helpers/dump.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { dyingBefore, FIRST, runWith, type Ended } from './helpers/run-with.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server.stop());

const resume = ({ work, run, env }: Ended): Promise<Outcome> => work.cutover(['resume', run, '--yes'], env);
const stateOf = async ({ work, run }: Ended): Promise<RunState> =>
  fold(await new FileJournalStore(join(work.folder, '.cutover')).read(run));
const reached = (type: EventBody['type']) => (body: EventBody) => body.type === type;
const startedFrom = async (ended: Ended): Promise<string> => {
  const events = await new FileJournalStore(join(ended.work.folder, '.cutover')).read(ended.run);
  const last = events.findLast((event) => event.type === 'run-resumed');
  return last?.type === 'run-resumed' ? last.from : 'nowhere';
};
const rowsOf = async (database: string): Promise<number> =>
  Number((await server.sql<{ count: string }>('select count(*) from shops', database))[0]!.count);

async function assertCompleted(t: ExecutionContext, ended: Ended, resumed: Outcome): Promise<void> {
  t.is(resumed.code, 0, resumed.err);
  const state = await stateOf(ended);
  t.is(state.phase, 'completed');
  t.is(state.live, 'green');
  await server.sql('select tier from shops', ended.shop);
}

// The server of these tests is busy with many runs at once: whether anybody wrote cannot be told, so the copy is made
// anew wherever blue has to be entered again. What needs no entering goes on where it was.
for (const [step, from] of [
  ['preflight', 'preflight'],
  ['fence', 'fence'],
  ['clone', 'clone'],
  ['gate', 'gate'],
  ['switch', 'switch'],
  ['keep', 'keep'],
] as const) {
  test(`a run that died before ${step} goes on there`, async (t) => {
    const ended = await runWith(t, server, { dies: dyingBefore(step) });
    const resumed = await resume(ended);
    await assertCompleted(t, ended, resumed);
    t.is(await startedFrom(ended), from);
    t.is(await rowsOf(ended.shop), 500);
    const back = await ended.work.cutover(['swap-back', '--yes'], ended.env);
    t.is(back.code, 0, back.err);
    t.deepEqual(await dump(server, ended.shop), ended.before);
  });
}

test('a run that died while it unwound goes on unwinding', async (t) => {
  const ended = await runWith(t, server, {
    dies: reached('undo-finished'),
    gate: () => Promise.reject(new Error('nobody is there')),
  });
  const resumed = await resume(ended);
  t.is(resumed.code, 4, resumed.err);
  t.is((await stateOf(ended)).phase, 'unwound');
  t.deepEqual(await dump(server, ended.shop), ended.before);
});

test('blue was opened, written to and closed again while nobody worked: what was written is in what goes live', async (t) => {
  const ended = await runWith(t, server, { dies: dyingBefore('switch') });
  const { shop } = ended;
  await server.sql(`alter database ${shop} allow_connections true`);
  await server.sql(`insert into shops values (501, 'by hand')`, shop);
  await server.sql(`alter database ${shop} allow_connections false`);
  const resumed = await resume(ended);
  await assertCompleted(t, ended, resumed);
  t.is(await startedFrom(ended), 'fence');
  t.regex(resumed.err, /blue was altered, and perhaps opened, since the fence: it is cloned anew/);
  t.is(await rowsOf(shop), 501);
});

test('blue was opened while nobody worked, and is written to: it is closed and cloned anew', async (t) => {
  const ended = await runWith(t, server, { dies: dyingBefore('gate') });
  const { shop } = ended;
  await server.sql(`alter database ${shop} allow_connections true`);
  await server.sql(`insert into shops values (501, 'by hand')`, shop);
  const resumed = await resume(ended);
  await assertCompleted(t, ended, resumed);
  t.regex(resumed.err, /blue accepts connections: it is closed and cloned anew/);
  t.is(await rowsOf(shop), 501);
});

test('green was opened and closed again after it was verified: it is not switched to as it is', async (t) => {
  const ended = await runWith(t, server, { dies: dyingBefore('switch') });
  const green = `${ended.shop}_green`;
  await server.sql(`alter database ${green} allow_connections true`);
  await server.sql('delete from shops where id = 1', green);
  await server.sql(`alter database ${green} allow_connections false`);
  const resumed = await resume(ended);
  // Verified anew it is found to have lost a row; made anew it has not.
  if (resumed.code === 5) t.deepEqual(await dump(server, ended.shop), ended.before);
  else {
    await assertCompleted(t, ended, resumed);
    t.is(await rowsOf(ended.shop), 500);
  }
});

/** Dies when the first target has flipped and the second one is about to. */
const halfWay = (t: ExecutionContext): Promise<Ended> =>
  runWith(t, server, {
    drivers: (drivers, die) => ({
      ...drivers,
      targets: drivers.targets.map((entry, index) =>
        index === 1
          ? {
              ...entry,
              target: {
                describe: () => entry.target.describe(),
                current: () => entry.target.current(),
                prepare: (from, to) => entry.target.prepare(from, to),
                switch: () => {
                  die();
                  return new Promise<never>(() => undefined);
                },
              },
            }
          : entry,
      ),
    }),
  });

test('a switch that is half-way is finished', async (t) => {
  const ended = await halfWay(t);
  t.is(await readFile(join(ended.work.folder, 'first.env'), 'utf8'), 'DATABASE=green\n');
  const resumed = await resume(ended);
  await assertCompleted(t, ended, resumed);
  t.is(await startedFrom(ended), 'switch');
  t.regex(await readFile(join(ended.work.folder, 'second.env'), 'utf8'), /green/);
});

test('a switch that is half-way is put back by abort', async (t) => {
  const ended = await halfWay(t);
  const aborted = await ended.work.cutover(['abort'], ended.env);
  t.is(aborted.code, 0, aborted.err);
  t.deepEqual(await dump(server, ended.shop), ended.before);
  t.is(await readFile(join(ended.work.folder, 'first.env'), 'utf8'), FIRST);
});

for (const command of ['resume', 'abort'] as const) {
  for (const side of ['', '_green']) {
    test(`half-way, and somebody opened ${side ? 'green' : 'blue'} meanwhile and closed it again: ${command} is stuck, and moves nothing`, async (t) => {
      const ended = await halfWay(t);
      const name = `${ended.shop}${side}`;
      await server.sql(`alter database ${name} allow_connections true`);
      await server.sql(`insert into shops (id, name) values (501, 'by hand')`, name);
      await server.sql(`alter database ${name} allow_connections false`);
      const outcome = await ended.work.cutover(
        [command, ...(command === 'resume' ? ['--yes'] : [])],
        ended.env,
      );
      t.is(outcome.code, 7, outcome.err);
      t.regex(outcome.err, /which side is live cannot be settled: somebody altered/);
      t.is(await readFile(join(ended.work.folder, 'first.env'), 'utf8'), 'DATABASE=green\n');
      const open = await server.sql(
        `select from pg_database where datname like '${ended.shop}%' and datallowconn`,
      );
      t.is(open.length, 0);
      t.is((await stateOf(ended)).phase, 'stuck');
    });
  }
}

test('targets that somebody moved by hand are a contradiction, not a switch', async (t) => {
  const ended = await runWith(t, server, { dies: reached('ownership-moved') });
  await ended.work.file('first.env', 'DATABASE=green\n');
  const resumed = await resume(ended);
  t.is(resumed.code, 7, resumed.err);
  t.regex(resumed.err, /targets were moved, and not by this run/);
  await ended.work.file('first.env', FIRST);
  const aborted = await ended.work.cutover(['abort'], ended.env);
  t.is(aborted.code, 0, aborted.err);
  t.deepEqual(await dump(server, ended.shop), ended.before);
});

test('sessions of the run that do not end while everything is put back: stuck, and abort looks again', async (t) => {
  const ended = await runWith(t, server, {
    gate: () => Promise.reject(new Error('nobody is there')),
    drivers(drivers) {
      drivers.database.endAbandoned = () => Promise.reject(new Error('they are still at work'));
      return drivers;
    },
  });
  t.is(ended.outcome, 'stuck');
  t.regex((ended.error as { detail: string }).detail, /sessions of this run: they are still at work/);
  // What could be put back is put back all the same.
  t.deepEqual(await dump(server, ended.shop), ended.before);
  const aborted = await ended.work.cutover(['abort'], ended.env);
  t.is(aborted.code, 0, aborted.err);
  t.is((await stateOf(ended)).phase, 'unwound');
});
