import { z } from 'zod';
import type { Check, CheckContext, CheckOpenContext, Finding } from '../core/drivers/check.ts';
import type { Driver } from '../core/drivers/driver.ts';
import { share } from '../util/options.ts';
import { formatCount, plural } from '../util/units.ts';
import { checkOptions } from './shared/manner.ts';
import { abortable, failure } from './shared/run.ts';

const NAME = 'activity';
const options = checkOptions({
  rollbacks: share().optional().meta({
    description:
      'The largest part of the transactions since the last look that may have been rolled back: 5%.',
  }),
  sessions: z.int().min(1).optional().meta({ description: 'As many sessions of clients must be there.' }),
}).refine(({ rollbacks, sessions }) => rollbacks !== undefined || sessions !== undefined, {
  error: 'needs "rollbacks" or "sessions"',
});
type Options = z.infer<typeof options>;

/** With fewer transactions a part of them says nothing. */
const ENOUGH = 20n;

const SQL = `
select xact_commit::text as commits, xact_rollback::text as rollbacks,
  (select count(*) from pg_stat_activity a
   where a.datid = d.datid and a.backend_type = 'client backend' and a.application_name not like 'cutover %')::text as sessions
from pg_stat_database d where datname = current_database()`;

interface Counted {
  readonly commits: bigint;
  readonly rollbacks: bigint;
  readonly sessions: bigint;
}

/** What the live server says of its clients by itself. */
export const activity: Driver<Options, CheckOpenContext, Check> = {
  name: NAME,
  summary: 'Clients are there, and their transactions come through',
  options,
  open(options) {
    let before: Counted | undefined;
    return {
      when: 'green-open',
      describe: () => [`pg_stat_database of green: ${expectation(options)}`],
      async run(context) {
        const now = await count(context);
        const findings = [...sessionsFinding(now, options), ...rollbacksFinding(before, now, options)];
        before = now;
        return findings;
      },
    };
  },
};

const expectation = ({ rollbacks, sessions }: Options): string =>
  [
    ...(rollbacks === undefined ? [] : [`at most ${percent(rollbacks)} of all transactions rolled back`]),
    ...(sessions === undefined ? [] : [`at least ${plural(sessions, 'session')} of clients`]),
  ].join(', ');

const percent = (part: number): string => `${Math.round(part * 1000) / 10} %`;

async function count(context: CheckContext): Promise<Counted> {
  const [row] = await abortable(context.signal, () => context.green.query(SQL));
  const [commits, rollbacks, sessions] = Object.values(row!).map((value) => BigInt(String(value)));
  return { commits: commits!, rollbacks: rollbacks!, sessions: sessions! };
}

const ok = (message: string): Finding => ({ check: NAME, severity: 'ok', message });

function sessionsFinding({ sessions: there }: Counted, { sessions }: Options): Finding[] {
  if (sessions === undefined) return [];
  const words = `${plural(there, 'session')} of clients`;
  return [there < BigInt(sessions) ? failure(NAME, `${words}, and not ${sessions}`) : ok(words)];
}

function rollbacksFinding(before: Counted | undefined, now: Counted, { rollbacks }: Options): Finding[] {
  if (rollbacks === undefined) return [];
  if (!before) return [ok('transactions are counted from now on')];
  const gone = now.rollbacks - before.rollbacks;
  const all = now.commits - before.commits + gone;
  const part = Number(gone) / Math.max(1, Number(all));
  const words = `${formatCount(gone)} of ${plural(all, 'transaction')} rolled back`;
  // Statistics that were reset, or hardly anybody there.
  if (all < ENOUGH || gone < 0n) return [ok(`${words}: too few to judge by`)];
  return [part > rollbacks ? failure(NAME, `${words}, more than ${percent(rollbacks)}`) : ok(words)];
}
