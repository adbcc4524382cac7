import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import { Cron } from 'croner';
import { createEnvironment } from '../src/playbook/values/environment.ts';
import { beat, type Scheduling } from '../src/schedule/schedule.ts';
import { workplace } from './helpers/cli.ts';

const HOUR_MS = 3_600_000;
const STEP_MS = 6 * HOUR_MS;
const PATTERN = '30 3 * * SUN';
const PLACE = 'Europe/Berlin';

setFlagsFromString('--expose_gc');
const collect = runInNewContext('gc') as () => void;

/** What is reachable, after everything else has gone. */
function usedBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

// The zone of the process is that of the whole process.
for (const zone of ['UTC', 'Australia/Lord_Howe'])
  test.serial(
    `a simulated year of looking, by a process in ${zone}: each window once, and memory stays flat`,
    async (t) => {
      const { TZ: before } = process.env;
      process.env['TZ'] = zone;
      t.teardown(() => {
        if (before === undefined) delete process.env['TZ'];
        else process.env['TZ'] = before;
      });
      const work = await workplace(t);
      const file = await work.file(
        'playbook.yml',
        `version: 1\nname: shop\nblue: postgresql://me@localhost/shop\nwindow: { cron: "${PATTERN}", timezone: ${PLACE}, duration: 12h }\ngate: open\nswitch: { targets: [database-rename] }\n`,
      );
      const begin = Date.parse('2027-01-01T00:00:00Z');
      const end = Date.parse('2028-01-01T00:00:00Z');
      let clock = begin;
      const made: { until: number; window: string; at: number }[] = [];
      const said: string[] = [];
      const scheduling: Scheduling = {
        places: [file],
        env: createEnvironment({}),
        stateFolder: work.folder,
        signal: new AbortController().signal,
        now: () => clock,
        held: () => Promise.resolve(undefined),
        jobs: 1,
        left: () => Promise.resolve([]),
        command: ([, , , until = '', , window = '']) => {
          made.push({ until: Date.parse(until), window, at: clock });
          return Promise.resolve(0);
        },
        unsettled: true,
        tell: (_playbook, untold) => said.push(untold.kind),
        onBeat: () => undefined,
        known: new Map(),
        say: () => undefined,
      };
      let warm = 0;
      for (; clock < end; clock += STEP_MS) {
        await beat(scheduling);
        if (clock === begin + 200 * STEP_MS) warm = usedBytes();
      }
      const grown = usedBytes() - warm;
      t.log(
        `${made.length} windows in ${(end - begin) / STEP_MS} looks; the heap has grown by ${Math.round(grown / 1024)} kB`,
      );
      const opens = new Cron(PATTERN, { timezone: PLACE })
        .nextRuns(60, new Date(begin))
        .map((date) => date.getTime())
        .filter((at) => at < end);
      t.deepEqual(
        made.map(({ until }) => until - 12 * HOUR_MS),
        opens,
      );
      t.is(new Set(made.map(({ window }) => window)).size, opens.length);
      for (const [index, { at }] of made.entries())
        t.true(at >= opens[index]! && at < opens[index]! + STEP_MS);
      t.deepEqual(said, []);
      // The used windows are remembered, two hundred of them; everything else has gone.
      t.true(grown < 8 * 1024 * 1024, `${grown}`);
    },
  );
