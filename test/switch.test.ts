import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Target } from '../src/core/drivers/target.ts';
import { FileJournalStore } from '../src/journal/file.ts';
import { fold } from '../src/journal/fold.ts';
import { createEnvironment } from '../src/playbook/values/environment.ts';
import { LineScreen } from '../src/run/screen/lines.ts';
import type { Drivers } from '../src/run/open.ts';
import { executionOf, reopen } from '../src/run/reopen.ts';
import { swapBack } from '../src/run/after/swap-back.ts';
import { addSecret } from '../src/util/redact.ts';
import { dump } from './helpers/dump.ts';
import { testServer, type TestServer } from './helpers/postgres.ts';
import { dyingBefore, FIRST, runWith, SECOND, type Ended } from './helpers/run-with.ts';

let server: TestServer;
test.before(async () => {
  server = await testServer();
});
test.after.always(() => server.stop());

/** Replaces the target at a place by one that does `fault` when it is switched; everything else is the real one. */
const withFault =
  (index: number, fault: (target: Target, to: string) => Promise<void>) =>
  (drivers: Drivers): Drivers => ({
    ...drivers,
    targets: drivers.targets.map((entry, at) =>
      at !== index
        ? entry
        : {
            ...entry,
            target: {
              describe: () => entry.target.describe(),
              current: () => entry.target.current(),
              prepare: (from, to) => entry.target.prepare(from, to),
              switch: async (from, to) => {
                await fault(entry.target, to);
                await entry.target.switch(from, to);
              },
            },
          },
    ),
  });

async function flipAndFail(target: Target, to: string): Promise<void> {
  if (to !== 'green') return;
  await target.switch('blue', 'green');
  throw new Error('the answer was lost');
}

async function assertBack(t: ExecutionContext, ended: Ended): Promise<void> {
  t.is(ended.outcome, 'unwound', String(ended.error));
  t.is(ended.exit, 4);
  t.deepEqual(await dump(server, ended.shop), ended.before);
  t.is(await readFile(join(ended.work.folder, 'first.env'), 'utf8'), FIRST);
  t.is(await readFile(join(ended.work.folder, 'second.env'), 'utf8'), SECOND);
  const names = await server.sql(`select datname from pg_database where datname like '${ended.shop}%'`);
  t.is(names.length, 1);
  const state = fold(ended.events);
  t.is(state.live, 'blue');
  t.is(state.phase, 'unwound');
}

test('three targets flip together', async (t) => {
  const ended = await runWith(t, server, {});
  t.is(ended.outcome, 'completed', String(ended.error));
  t.is(await readFile(join(ended.work.folder, 'first.env'), 'utf8'), 'DATABASE=green\n');
  t.is(await readFile(join(ended.work.folder, 'second.env'), 'utf8'), SECOND.replace('"blue"', '"green"'));
  t.deepEqual(await server.sql('select distinct tier::text from shops', ended.shop), [{ tier: '1' }]);
  const back = await ended.work.cutover(['swap-back', '--yes'], ended.env);
  t.is(back.code, 0, back.err);
  t.deepEqual(await dump(server, ended.shop), ended.before);
  t.is(await readFile(join(ended.work.folder, 'second.env'), 'utf8'), SECOND);
});

for (const index of [0, 1, 2]) {
  test(`target ${index} refuses to flip: the others are put back, and blue is live again`, async (t) => {
    let thrown = 0;
    const fault = (_target: Target, to: string): Promise<void> => {
      if (to === 'green') {
        thrown += 1;
        return Promise.reject(new Error('the target refuses'));
      }
      return Promise.resolve();
    };
    const ended = await runWith(t, server, { drivers: withFault(index, fault) });
    t.is(thrown, 1);
    t.regex(String(ended.error), /the target refuses/);
    await assertBack(t, ended);
  });

  test(`target ${index} flips and fails afterwards: it is put back too`, async (t) => {
    await assertBack(t, await runWith(t, server, { drivers: withFault(index, flipAndFail) }));
  });

  test(`target ${index} flips and cannot be put back: stuck, nothing is opened, and abort mends it later`, async (t) => {
    let broken = false;
    const fault = async (target: Target, to: string): Promise<void> => {
      if (to === 'green') {
        await target.switch('blue', 'green');
        broken = true;
        throw new Error('the answer was lost');
      }
      if (broken) throw new Error('no way back');
    };
    const ended = await runWith(t, server, { drivers: withFault(index, fault) });
    t.is(ended.outcome, 'stuck');
    t.is(ended.exit, 7);
    t.regex((ended.error as Error).message, /no way back/);
    const open = await server.sql(
      `select datname from pg_database where datname like '${ended.shop}%' and datallowconn`,
    );
    t.deepEqual(open, [], 'neither side takes writes while it is not known which one is live');
    const aborted = await ended.work.cutover(['abort', ended.run], ended.env);
    t.is(aborted.code, 0, aborted.err);
    t.deepEqual(await dump(server, ended.shop), ended.before);
    t.is(await readFile(join(ended.work.folder, 'first.env'), 'utf8'), FIRST);
    t.is(await readFile(join(ended.work.folder, 'second.env'), 'utf8'), SECOND);
    const names = await server.sql(`select datname from pg_database where datname like '${ended.shop}%'`);
    t.is(names.length, 1);
    t.regex((await ended.work.cutover(['status', ended.run])).out, /unwound[^]*live: blue/);
  });
}

test('the commit point cannot be journaled: no target flips', async (t) => {
  let flipped = 0;
  const ended = await runWith(t, server, {
    drivers: withFault(0, () => {
      flipped += 1;
      return Promise.resolve();
    }),
    journal: (journal) => ({
      run: journal.run,
      append: (body) =>
        body.type === 'ownership-moved' ? Promise.reject(new Error('disk full')) : journal.append(body),
      read: () => journal.read(),
      close: () => journal.close(),
    }),
  });
  t.is(flipped, 0);
  await assertBack(t, ended);
});

test('the journal fails for good in the middle: everything is put back all the same', async (t) => {
  let full = false;
  const ended = await runWith(t, server, {
    journal: (journal) => ({
      run: journal.run,
      append(body) {
        if (body.type === 'step-succeeded' && body.step === 'clone') full = true;
        return full ? Promise.reject(new Error('disk full')) : journal.append(body);
      },
      read: () => journal.read(),
      close: () => journal.close(),
    }),
  });
  t.is(ended.outcome, 'unwound');
  t.deepEqual(await dump(server, ended.shop), ended.before);
  // What the journal knows is old, and abort finds nothing left to do.
  const aborted = await ended.work.cutover(['abort', ended.run], ended.env);
  t.is(aborted.code, 0, aborted.err);
  t.deepEqual(await dump(server, ended.shop), ended.before);
});

test('the lock was lost before the commit point: nothing flips', async (t) => {
  const ended = await runWith(t, server, {
    drivers: (drivers) => {
      const { database } = drivers;
      const assertLocked = database.assertLocked.bind(database);
      let calls = 0;
      database.assertLocked = async () => {
        calls += 1;
        // Before each of seven steps, and last in the switch.
        if (calls < 8) return assertLocked();
        const blue = (await database.state('blue'))!.oid;
        const ended = await server.sql(
          `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = ${blue}`,
        );
        t.is(ended.length, 1);
        await assertLocked();
      };
      return drivers;
    },
  });
  t.regex(String(ended.error), /run lock was lost/);
  t.true(ended.events.some(({ type }) => type === 'gate-answered'));
  await assertBack(t, ended);
});

test('a swap back that gets stuck keeps what was written: abort refuses, and swap-back settles it later', async (t) => {
  const ended = await runWith(t, server, {});
  t.is(ended.outcome, 'completed', String(ended.error));
  await server.sql(`insert into shops values (1001, 'written after the switch')`, ended.shop);
  const second = join(ended.work.folder, 'second.env');

  // The process dies between two flips: the first file says blue already, everything else says green.
  await server.sql(`alter database ${ended.shop} with allow_connections false`);
  const journal = await new FileJournalStore(join(ended.work.folder, '.cutover')).open(ended.run);
  await journal.append({ type: 'swap-back-started', operator: 'test', acceptDataLoss: true });
  await journal.append({ type: 'ownership-moved', from: 'green', to: 'blue' });
  await journal.close();
  await ended.work.file('first.env', FIRST);

  const aborted = await ended.work.cutover(['abort', ended.run], ended.env);
  t.is(aborted.code, 3, aborted.err);
  t.regex(aborted.err, /swapping back[^]*cutover swap-back/);
  const refused = await ended.work.cutover(['swap-back', '--yes'], ended.env);
  t.is(refused.code, 3, refused.err);
  t.regex(refused.err, /1 row inserted or updated in public\.shops/);
  // Green is live again, whole, and every target says so.
  t.is(await readFile(join(ended.work.folder, 'first.env'), 'utf8'), 'DATABASE=green\n');
  t.deepEqual(await server.sql(`select name from shops where id = 1001`, ended.shop), [
    { name: 'written after the switch' },
  ]);
  t.is(await readFile(second, 'utf8'), SECOND.replace('"blue"', '"green"'));

  const accepted = await ended.work.cutover(['swap-back', '--yes', '--accept-data-loss'], ended.env);
  t.is(accepted.code, 0, accepted.err);
  t.deepEqual(await dump(server, ended.shop), ended.before);
  await server.sql(`alter database ${ended.shop}_green with allow_connections true`);
  t.is((await server.sql(`select name from shops where id = 1001`, `${ended.shop}_green`)).length, 1);
});

test('a swap back that had come through when its process died is only recorded', async (t) => {
  const ended = await runWith(t, server, {});
  const back = await ended.work.cutover(['swap-back', '--yes'], ended.env);
  t.is(back.code, 0, back.err);
  const file = join(ended.work.folder, '.cutover/runs', ended.run, 'journal.jsonl');
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  t.regex(lines.at(-1)!, /swap-back-finished/);
  await writeFile(file, `${lines.slice(0, -1).join('\n')}\n`);
  const again = await ended.work.cutover(['swap-back', '--yes'], ended.env);
  t.is(again.code, 0, again.err);
  t.deepEqual(await dump(server, ended.shop), ended.before);
  t.regex((await ended.work.cutover(['status'])).out, /swapped back/);
});

test('a retire that had dropped the copy when its process died is only recorded', async (t) => {
  const ended = await runWith(t, server, {});
  await server.sql(`drop database ${ended.shop}_previous`);
  const retired = await ended.work.cutover(['retire', ended.run], ended.env);
  t.is(retired.code, 0, retired.err);
  t.regex(retired.err, /was gone already/);
  t.regex((await ended.work.cutover(['status'])).out, /retired/);
});

test('a signal during the switch waits, and the run is completed', async (t) => {
  const controller = new AbortController();
  const ended = await runWith(t, server, {
    signal: controller.signal,
    drivers: withFault(1, () => {
      controller.abort(new Error('a signal'));
      return Promise.resolve();
    }),
  });
  t.is(ended.outcome, 'completed', String(ended.error));
  t.is(ended.exit, 0);
});

test("a database's comment comes back to the letter, also when it holds a word that is somebody's password", async (t) => {
  addSecret('secret');
  const ended = await runWith(t, server, { comment: 'the secret shop' });
  t.is(ended.outcome, 'completed', String(ended.error));
  const back = await ended.work.cutover(['swap-back', '--yes'], ended.env);
  t.is(back.code, 0, back.err);
  t.deepEqual(await dump(server, ended.shop), ended.before);
});

test('from the proof to the switch nobody gets into either side, superusers neither', async (t) => {
  t.plan(4);
  const ended = await runWith(t, server, {
    async gate(shop) {
      for (const database of [shop, `${shop}_green`]) {
        await t.throwsAsync(server.connect(database), { message: /not currently accepting connections/ });
      }
      const sessions = await server.sql<{ application: string }>(
        `select distinct split_part(application_name, ' ', 1) as application from pg_stat_activity where datname like '${shop}%'`,
      );
      t.deepEqual(sessions, [{ application: 'cutover' }], 'only the tool itself reads');
    },
  });
  t.is(ended.outcome, 'completed', String(ended.error));
});

test('a migration that was edited after the plan was made does not run', async (t) => {
  const ended = await runWith(t, server, {
    planned: (work) => work.file('V001__tier.sql', 'alter table shops add tier int not null default 2;\n'),
  });
  t.regex(String(ended.error), /1 migration file changed since the plan/);
  await assertBack(t, ended);
});

test('a row written between the count and the closing calls the swap back off, and green goes on', async (t) => {
  const ended = await runWith(t, server, {});
  t.is(ended.outcome, 'completed', String(ended.error));
  const store = new FileJournalStore(join(ended.work.folder, '.cutover'));
  const env = createEnvironment(ended.env);
  const reopened = await reopen(store, ended.run, ['completed'], { ...env, stateFolder: ended.work.folder });
  const execution = executionOf(reopened, new LineScreen(() => undefined), new AbortController().signal);
  const failure = await t.throwsAsync(
    swapBack(reopened, execution, {
      operator: 'test',
      acceptDataLoss: false,
      to: 'blue',
      async confirm(writes) {
        t.deepEqual(writes, []);
        await server.sql(`insert into shops values (2001, 'just now')`, ended.shop);
        return true;
      },
    }),
    { name: 'StepError', message: /would lose what was written/ },
  );
  t.regex(String((failure as { detail?: string }).detail), /1 row inserted or updated in public\.shops/);
  const state = fold(await reopened.journal.read());
  await reopened.end();
  t.is(state.phase, 'completed');
  t.is(state.live, 'green');
  t.is((await server.sql('select 1 from shops where id = 2001', ended.shop)).length, 1);
});

test('the new side cannot be opened: targets and marks are put back, and the copy goes', async (t) => {
  const ended = await runWith(t, server, {
    drivers: (drivers) => {
      const { database } = drivers;
      const open = database.open.bind(database);
      database.open = (side) => (side === 'green' ? Promise.reject(new Error('no')) : open(side));
      return drivers;
    },
  });
  await assertBack(t, ended);
});

test('the new side was opened although the answer was lost: the run goes forward', async (t) => {
  const ended = await runWith(t, server, {
    drivers: (drivers) => {
      const { database } = drivers;
      const open = database.open.bind(database);
      database.open = async (side) => {
        await open(side);
        if (side === 'green') throw new Error('the answer was lost');
      };
      return drivers;
    },
  });
  t.is(ended.outcome, 'completed', String(ended.error));
  t.is((await server.sql('select 1 from shops where tier = 1', ended.shop)).length, 500);
});

test('a target that cannot be read any more before the switch: blue is live again, nothing is stuck', async (t) => {
  for (const spoil of ['', 'DATABASE=elsewhere\n']) {
    const ended = await runWith(t, server, {
      gate: async (_shop, work) => {
        if (spoil === '') await rm(join(work.folder, 'first.env'));
        else await work.file('first.env', spoil);
      },
    });
    t.is(ended.outcome, 'unwound', String(ended.error));
    t.is(ended.exit, 4);
    t.deepEqual(await dump(server, ended.shop), ended.before);
    t.is((await server.sql(`select 1 from pg_database where datname like '${ended.shop}%'`)).length, 1);
  }
});

test('a swap back whose target cannot be read is refused before anybody is stopped', async (t) => {
  const ended = await runWith(t, server, {});
  await rm(join(ended.work.folder, 'second.env'));
  const client = await server.connect(ended.shop);
  const refused = await ended.work.cutover(['swap-back', '--yes'], ended.env);
  t.is(refused.code, 3, refused.err);
  t.regex(refused.err, /there is no such file/);
  t.is((await client.query('select 1')).rowCount, 1, 'the session is still there');
  await client.end();
  t.regex((await ended.work.cutover(['status'])).out, /completed/);
  await ended.work.file('second.env', SECOND.replace('"blue"', '"green"'));
  const back = await ended.work.cutover(['swap-back', '--yes'], ended.env);
  t.is(back.code, 0, back.err);
  t.deepEqual(await dump(server, ended.shop), ended.before);
});

for (const side of ['blue', 'green']) {
  test(`${side} was opened by hand after the verification: no switch, for the proof may not hold any more`, async (t) => {
    const ended = await runWith(t, server, {
      async gate(shop) {
        const name = side === 'blue' ? shop : `${shop}_green`;
        await server.sql(`alter database ${name} with allow_connections true`);
        await server.sql(`insert into shops values (3001, 'acknowledged')`, name);
      },
    });
    t.is(ended.outcome, 'unwound', String(ended.error));
    t.regex(String(ended.error), /was opened by somebody since/);
    const kept = await server.sql('select name from shops where id = 3001', ended.shop);
    t.is(kept.length, side === 'blue' ? 1 : 0);
    t.is(await readFile(join(ended.work.folder, 'first.env'), 'utf8'), FIRST);
  });
}

test('abort of a run that died long ago leaves the previous copy of a later run closed', async (t) => {
  const first = await runWith(t, server, { dies: dyingBefore('migrate') });
  await server.sql(`alter database ${first.shop} with allow_connections true`);
  await server.sql(`drop database ${first.shop}_green with (force)`);
  const second = await first.work.cutover(['run', 'playbook.yml', '--yes'], first.env);
  t.is(second.code, 0, second.err);
  const aborted = await first.work.cutover(['abort', first.run], first.env);
  t.is(aborted.code, 0, aborted.err);
  t.regex(aborted.err, /stays closed: run .* keeps it/);
  const open = await server.sql(
    `select datname from pg_database where datname like '${first.shop}%' and datallowconn`,
  );
  t.deepEqual(open, [{ datname: first.shop }]);
  t.is((await server.sql('select 1 from shops where tier = 1', first.shop)).length, 500);
});

test('abort neither drops a copy that somebody made live by hand nor opens blue beside it', async (t) => {
  const ended = await runWith(t, server, { dies: dyingBefore('verify') });
  await server.sql(`alter database ${ended.shop} rename to ${ended.shop}_old`);
  await server.sql(`alter database ${ended.shop}_green rename to ${ended.shop}`);
  await server.sql(`insert into shops values (4001, 'by hand')`, ended.shop);
  const aborted = await ended.work.cutover(['abort', ended.run], ended.env);
  t.is(aborted.code, 7, aborted.err);
  t.regex(aborted.err, /seems to be live/);
  t.is((await server.sql('select 1 from shops where id = 4001', ended.shop)).length, 1);
  const open = await server.sql(
    `select datname from pg_database where datname like '${ended.shop}%' and datallowconn`,
  );
  t.deepEqual(open, [{ datname: ended.shop }]);
});
