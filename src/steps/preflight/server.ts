import type { Finding } from '../../core/drivers/check.ts';
import type { Facts } from '../../core/database/facts.ts';
import { formatBytes, formatDuration, plural } from '../../util/units.ts';
import { finding, type Condition } from './condition.ts';

const OLDEST_MAJOR = 14;
/** The copy grows while migrations rewrite tables: room for one more of it. */
const SPACE_FACTOR = 2;

/** Blue's server and who is connected to it. */
export const server: Condition = (facts, plan) => {
  const findings: Finding[] = [];
  if (facts.server.major < OLDEST_MAJOR) {
    findings.push(
      finding('version', 'failure', `PostgreSQL ${facts.server.version} is older than ${OLDEST_MAJOR}`),
    );
  }
  if (facts.server.inRecovery) {
    findings.push(
      finding('writable', 'failure', 'the server is in recovery: it is a standby', {
        hint: 'connect to the primary',
      }),
    );
  }
  if (facts.blue.closed) findings.push(closed(facts));
  if (facts.blue.readOnly) {
    findings.push(
      finding('writable', 'failure', `${facts.blue.name} is read-only by default_transaction_read_only`, {
        hint: `ALTER DATABASE or ALTER ROLE … RESET default_transaction_read_only`,
      }),
    );
  }
  findings.push(...space(facts.server.freeBytes, facts.blue.bytes));
  const busy = facts.sessions.filter(({ transactionSeconds }) => transactionSeconds !== undefined);
  if (facts.sessions.length > 0) {
    findings.push(
      finding(
        'sessions',
        'warning',
        `${plural(facts.sessions.length, 'session')} on ${facts.blue.name} will be ended, ${busy.length} of them in a transaction ` +
          `(${formatDuration(plan.longTransactions.wait)} to finish, then ${plan.longTransactions.then})`,
        {
          list: facts.sessions.map(
            ({ pid, application, user, state, query }) =>
              `pid ${pid} app=${application || '-'} user=${user} ${state}: ${query.replaceAll(/\s+/g, ' ').slice(0, 60)}`,
          ),
        },
      ),
    );
  }
  return findings;
};

function closed({ blue, databases }: Facts): Finding {
  const mark = databases.find(({ oid }) => oid === blue.oid)?.mark;
  if (mark) {
    return finding(
      'writable',
      'failure',
      `${blue.name} is not live: it is what run ${mark.run} set aside or made`,
      {
        hint: `point blue at the database that is live; see: cutover status ${mark.run}`,
      },
    );
  }
  return finding(
    'writable',
    'failure',
    `${blue.name} does not accept connections (ALLOW_CONNECTIONS is false)`,
    {
      hint: `a run that died may have left it so: cutover runs, then cutover abort RUN (in the folder or with the --state of that run)`,
    },
  );
}

function space(free: number | undefined, bytes: number): Finding[] {
  const needed = bytes * SPACE_FACTOR;
  if (free === undefined) {
    return [
      finding(
        'disk',
        'unknown',
        `free space on the server cannot be seen from here; the copy needs ${formatBytes(needed)}`,
      ),
    ];
  }
  if (free >= needed) return [];
  return [
    finding(
      'disk',
      'failure',
      `${formatBytes(free)} are free on the server, the copy may need ${formatBytes(needed)}`,
      {
        hint: 'make room on the file system of the data directory',
      },
    ),
  ];
}
