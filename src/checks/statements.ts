import { z } from 'zod';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import type { StatementTimes } from '../core/database/live.ts';
import { duration } from '../util/options.ts';
import { formatDuration, plural } from '../util/units.ts';
import { checkOptions } from './shared/manner.ts';
import { abortable, failure } from './shared/run.ts';

const NAME = 'statements';
const options = checkOptions({
  times: z.number().min(1).default(3).meta({ description: 'How many times as long a statement may take.' }),
  calls: z
    .int()
    .min(1)
    .default(20)
    .meta({ description: 'How often it must have been executed on either side to be judged.' }),
  least: duration()
    .prefault('5ms')
    .meta({ description: 'One that takes no longer on green is quick enough whatever it took on blue.' }),
});
type Options = z.infer<typeof options>;

/** Statements that are slower on green than they were on blue, by what the servers have measured. */
export const statements: Driver<Options, CheckOpenContext, Check> = {
  name: NAME,
  summary: "The application's statements are as quick on green as they were on blue",
  options,
  open(options) {
    let began: Readonly<Record<'blue' | 'green', StatementTimes>> | undefined;
    return {
      when: 'green-open',
      describe: () => [
        `pg_stat_statements of both sides: a statement takes at most ${options.times} times as long as on blue`,
      ],
      async run(context) {
        const green = await timesOf(context, 'green');
        // Whoever applies green's changes to blue is not counted there, and nobody else writes.
        began ??= { blue: await timesOf(context, 'blue'), green };
        return judge(began.blue, since(began.green, green), options);
      },
    };
  },
};

async function timesOf({ wayBack, signal }: CheckContext, side: 'blue' | 'green'): Promise<StatementTimes> {
  if (!wayBack) throw new TypeError('nothing follows green in this run');
  const times = await abortable(signal, () => wayBack.statements(side));
  if (!times) throw new Error(`pg_stat_statements is not at hand on ${side}`);
  return times;
}

/** What was executed since: before clients came, green had other work, and a cold cache. */
function since(before: StatementTimes, now: StatementTimes): StatementTimes {
  return new Map(
    [...now].map(([sql, { calls, ms }]) => {
      const { calls: done, ms: took } = before.get(sql) ?? { calls: 0, ms: 0 };
      // Statistics that were reset begin anew.
      return [sql, calls < done || ms < took ? { calls, ms } : { calls: calls - done, ms: ms - took }];
    }),
  );
}

function judge(blue: StatementTimes, green: StatementTimes, { times, calls, least }: Options): Finding[] {
  const judged = [...green].flatMap(([sql, now]) => {
    const then = blue.get(sql);
    if (!then || then.calls < calls || now.calls < calls) return [];
    return [{ sql, then: mean(then), now: mean(now) }];
  });
  const slow = judged
    .filter(({ then, now }) => now > least && now > times * then)
    .toSorted((one, other) => other.now / other.then - one.now / one.then);
  if (slow.length === 0) {
    const message = `${plural(judged.length, 'statement')} of blue's, executed on green: none takes more than ${times} times as long`;
    return [{ check: NAME, severity: 'ok', message }];
  }
  const detail = slow
    .slice(0, SHOWN)
    .map(
      ({ sql, then, now }) => `  ${formatDuration(now)} instead of ${formatDuration(then)}: ${oneLine(sql)}`,
    );
  return [
    failure(
      NAME,
      `${plural(slow.length, 'statement')} of ${judged.length} that were judged: more than ${times} times as slow as on blue`,
      {
        detail: detail.join('\n'),
        hint: 'look at their plans on green: an index, or statistics, may be missing there',
      },
    ),
  ];
}

const mean = ({ calls, ms }: { calls: number; ms: number }): number => ms / calls;

const SHOWN = 10;

const oneLine = (sql: string): string => sql.replaceAll(/\s+/g, ' ').trim().slice(0, 200);
